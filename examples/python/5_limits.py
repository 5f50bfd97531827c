"""The place of rate limits, which this revision of Millpond does not serve: asks the sidecar, and says what it says."""
import sys
import grpc
from millpond.v1 import cache_pb2 as pb
from millpond_cache import Millpond

pond = Millpond()
try:
    hello = pond.stub.Hello(pb.HelloRequest(), timeout=pond.timeout)
    print(f"sidecar: revision {hello.revision}, features {list(hello.features)}")
    pond.channel.unary_unary("/millpond.v1.LimitService/Acquire")(b"", timeout=pond.timeout)
except grpc.RpcError as error:
    print(f"LimitService/Acquire: {error.code().name}: {error.details()}")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        print("so there are no rate limits here yet")
        sys.exit(0)
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        sys.exit(3)
sys.exit("the sidecar has rate limits: this program is to be written now")
