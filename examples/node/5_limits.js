// The place of rate limits, which this revision of Millpond does not serve: asks the sidecar, and says what it says.
import grpc from "@grpc/grpc-js";
import { Millpond, MillpondError } from "./millpond.js";

const pond = new Millpond();
const raw = (path) => new Promise((resolve, reject) => {
  const same = (bytes) => bytes;
  const done = (error) => (error ? reject(new MillpondError(grpc.status[error.code], error.details)) : resolve());
  const deadline = Date.now() + pond.timeout;
  pond.client.makeUnaryRequest(path, same, same, Buffer.alloc(0), new grpc.Metadata(), { deadline }, done);
});

try {
  const { revision, features } = await pond.call("Hello", {});
  console.log(`sidecar: revision ${revision}, features ${JSON.stringify(features)}`);
  await raw("/millpond.v1.LimitService/Acquire");
} catch (error) {
  console.log(`LimitService/Acquire: ${error.message}`);
  if (error.reason === "UNIMPLEMENTED") {
    console.log("so there are no rate limits here yet");
    process.exit(0);
  }
  if (["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(error.reason)) process.exit(3);
}
console.error("the sidecar has rate limits: this program is to be written now");
process.exit(1);
