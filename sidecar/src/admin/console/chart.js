// A line chart over the last minutes, with words beside it for whoever does not see it.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function html(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// A round number of at least `value`: 1, 2 or 5 times a power of ten.
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= value * 0.999);
}

export class Chart {
  // `series`: names of the lines; `say`: a value in words; `top`: a fixed end of the scale.
  constructor(host, { title, series, say, top }) {
    Object.assign(this, { title, series, say, top });
    this.lines = series.map((_, at) => svg("path", { class: `s${at}` }));
    this.area = svg("path", { class: "s0 area" });
    const grid = [0.25, 0.5, 0.75].map((part) =>
      svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
    this.image = svg("svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      ...grid, this.area, ...this.lines);
    this.scale = html("span", "top");
    this.begin = html("span");
    const axis = html("div", "axis", this.begin, html("span", "", "now"));
    host.replaceChildren(this.image, this.scale, axis);
    if (series.length > 1) {
      host.append(html("ul", "legend", ...series.map((name, at) => {
        const mark = svg("svg", { viewBox: "0 0 36 12", "aria-hidden": "true" },
          svg("path", { class: `s${at}`, d: "M0 6H36" }));
        const item = html("li", "", mark, name);
        return item;
      })));
    }
    this.draw([], 0, 60);
  }

  // `points`: [time in seconds, value of each series or null], oldest first; `seconds`: how far back.
  draw(points, now, seconds) {
    this.begin.textContent = `${seconds / 60} min ago`;
    const all = points.flatMap(([, ...values]) => values).filter((value) => value !== null);
    const top = this.top ?? ceiling(Math.max(0, ...all));
    this.scale.textContent = this.say(top);
    this.lines.forEach((line, at) => {
      let path = "";
      let area = "";
      let start = null;
      let last = null;
      for (const [time, ...values] of points) {
        const value = values[at];
        if (value === null) {
          if (start !== null) area += `L${last} ${HEIGHT}L${start} ${HEIGHT}Z`;
          start = null;
          continue;
        }
        const x = (WIDTH * (1 - (now - time) / seconds)).toFixed(1);
        const y = (HEIGHT * (1 - Math.min(value / top, 1)) * 0.96 + HEIGHT * 0.02).toFixed(1);
        path += `${start === null ? "M" : "L"}${x} ${y}`;
        area += `${start === null ? "M" : "L"}${x} ${y}`;
        start ??= x;
        last = x;
      }
      if (start !== null) area += `L${last} ${HEIGHT}L${start} ${HEIGHT}Z`;
      line.setAttribute("d", path);
      if (at === 0) this.area.setAttribute("d", this.series.length === 1 ? area : "");
    });
    this.image.setAttribute("aria-label", this.words(points, seconds));
  }

  words(points, seconds) {
    const told = this.series.map((name, at) => {
      const values = points.map((point) => point[at + 1]).filter((value) => value !== null);
      if (values.length === 0) return `${name}: nothing yet`;
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return `${name}: now ${this.say(values.at(-1))}, lowest ${this.say(low)}, highest ${this.say(high)}`;
    });
    return `${this.title}, last ${seconds / 60} min. ${told.join("; ")}.`;
  }
}
