"use strict";

const root = document.documentElement;

/* Theme */

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const themeButton = document.getElementById("theme");
const themeNow = () => root.dataset.theme || (systemDark.matches ? "dark" : "light");

function themeChanged() {
  themeButton.textContent = themeNow() === "dark" ? "Light colours" : "Dark colours";
  drawnPlots.forEach((box) => draw(box));
}

themeButton.addEventListener("click", () => {
  root.dataset.theme = themeNow() === "dark" ? "light" : "dark";
  themeChanged();
});

/* Tables */

function cellKey(row, column, numeric) {
  const cell = row.cells[column];
  if (!numeric) return cell.textContent === "–" ? null : cell.textContent.trim();
  const number = Number(cell.dataset.value ?? cell.textContent);
  return Number.isNaN(number) ? null : number;
}

const textOrder = new Intl.Collator("en", { numeric: true });

function inOrder(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "number" ? a - b : textOrder.compare(a, b));
}

function sortBy(head) {
  const body = head.closest("table").tBodies[0];
  const ascending = head.ariaSort !== "ascending";
  const numeric = head.classList.contains("number");
  const keyed = Array.from(body.rows, (row) => [cellKey(row, head.cellIndex, numeric), row]);
  keyed.sort(([a], [b]) => inOrder(a, b, ascending ? 1 : -1));
  body.append(...keyed.map(([, row]) => row));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
}

function makeSortable(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(head));
    head.append(button);
  }
}

function makeFilter(table) {
  const rows = Array.from(table.tBodies[0].rows);
  const count = Object.assign(document.createElement("span"), { className: "count", role: "status" });
  const box = Object.assign(document.createElement("input"), { type: "search", autocomplete: "off" });
  const label = document.createElement("label");
  const line = Object.assign(document.createElement("div"), { className: "filter" });
  label.append("Rows that contain", box);
  line.append(label, count);
  box.addEventListener("input", () => {
    const sought = box.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(sought); });
    count.textContent = sought && `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  });
  table.closest(".scroll").before(line);
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length > 1) makeSortable(table);
  if (table.tBodies[0].rows.length > 15) makeFilter(table);
}

/* Galleries */

function closeDetails(picture) {
  picture.classList.remove("open", "kept");
  picture.querySelector(".shot").setAttribute("aria-expanded", "false");
}

function openDetails(picture) {
  document.querySelectorAll(".picture.open").forEach((other) => other !== picture && closeDetails(other));
  picture.classList.add("open");
  picture.querySelector(".shot").setAttribute("aria-expanded", "true");
}

function makePicture(picture) {
  const shot = picture.querySelector(".shot");
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "shot" });
  button.setAttribute("aria-controls", shot.dataset.controls);
  button.setAttribute("aria-expanded", "false");
  button.append(...shot.childNodes);
  shot.replaceWith(button);
  const leave = () => picture.classList.contains("kept") || closeDetails(picture);
  picture.addEventListener("mouseenter", () => openDetails(picture));
  picture.addEventListener("mouseleave", leave);
  button.addEventListener("focus", () => openDetails(picture));
  picture.addEventListener("focusout", () => closeDetails(picture));
  button.addEventListener("click", () => {
    if (picture.classList.contains("kept")) return closeDetails(picture);
    openDetails(picture);
    picture.classList.add("kept");
  });
}

document.querySelectorAll(".picture").forEach(makePicture);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll(".picture.open").forEach(closeDetails);
});

/* Plots */

const canvases = Array.from(document.querySelectorAll(".canvas"));
const figures = new Map(canvases.map((box) => [box, JSON.parse(document.getElementById(`${box.id}-figure`).textContent)]));
const drawnPlots = new Set();
const colourways = {
  light: ["#0b62ab", "#c2500a", "#187a57", "#8b4a9c", "#7a6a00", "#a3264e"],
  dark: ["#63b1f2", "#f5a35c", "#58cda0", "#d6a0e2", "#d8cb62", "#f08aa8"],
};
const printedWidth = 660;
const touch = matchMedia("(pointer: coarse)").matches;
const config = {
  responsive: true,
  displaylogo: false,
  modeBarButtons: [touch ? ["toImage"] : ["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  plotlyServerURL: "",
};

/* Where names such as `library:model` are too long for an axis, all lose their library, and then their middle. */
function shortened(box, printing) {
  const longest = Math.max(14, Math.floor((printing ? printedWidth : box.clientWidth) / 22));
  const cut = (label) => (label.length > longest ? `${label.slice(0, longest - 9)}…${label.slice(-8)}` : label);
  const ticks = figures.get(box).data.flatMap(({ x = [], y = [] }) => [...x, ...y]);
  const labels = ticks.filter((tick) => typeof tick === "string");
  if (!labels.some((label) => label.length > longest)) return {};
  return Object.fromEntries(labels.map((label) => [label, cut(label.replace(/^[\w.-]+:/, ""))]));
}

function template(box, printing) {
  const style = getComputedStyle(box);
  const [ink, line, paper] = [style.color, style.borderTopColor, style.backgroundColor];
  const axis = {
    gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line,
    automargin: true, labelalias: shortened(box, printing),
  };
  return {
    data: { scatter: [{ marker: { line: { color: "#808080", width: 0.5 } } }] },
    layout: {
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      font: { color: ink, family: style.fontFamily, size: 13 },
      colorway: colourways[themeNow()],
      margin: { l: 48, r: 16, t: 28, b: 44 },
      hoverlabel: { bgcolor: paper, bordercolor: ink, font: { color: ink, family: style.fontFamily, size: 13 } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: paper, color: ink, activecolor: ink },
      xaxis: axis,
      yaxis: axis,
    },
  };
}

function layoutOf(box, printing) {
  const layout = { dragmode: touch ? false : "zoom", ...figures.get(box).layout };
  layout.template = template(box, printing);
  layout.uirevision = "kept";
  layout.autosize = !printing;
  layout.height = layout.height || 400;
  layout.width = printing ? printedWidth : undefined;
  return layout;
}

function name(box) {
  const [first, ...others] = box.querySelectorAll("svg.main-svg");
  first.setAttribute("role", "img");
  first.setAttribute("aria-label", box.dataset.name);
  others.forEach((svg) => svg.setAttribute("aria-hidden", "true"));
}

function dataOf(box) {
  const traces = structuredClone(figures.get(box).data);
  const tooSmall = box.clientWidth < 480;
  traces.forEach((trace) => { if (tooSmall && trace.type === "heatmap") delete trace.texttemplate; });
  return traces;
}

function draw(box, printing = false) {
  Plotly.react(box, dataOf(box), layoutOf(box, printing), config);
  drawnPlots.add(box);
  name(box);
}

const nearView = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    nearView.unobserve(target);
    draw(target);
  }),
  { rootMargin: "600px" },
);
canvases.forEach((box) => {
  box.style.height = `${figures.get(box).layout.height || 400}px`;
  nearView.observe(box);
});

let themeOnScreen;

addEventListener("beforeprint", () => {
  themeOnScreen = root.dataset.theme;
  root.dataset.theme = "light";
  canvases.forEach((box) => draw(box, true));
});
addEventListener("afterprint", () => {
  if (themeOnScreen) root.dataset.theme = themeOnScreen;
  else delete root.dataset.theme;
  canvases.forEach((box) => draw(box));
});

/* Where the reader is */

const links = new Map(Array.from(document.querySelectorAll("nav a"), (link) => [link.hash.slice(1), link]));

function hereNow(entries) {
  for (const { target, isIntersecting } of entries) {
    const link = links.get(target.getAttribute("aria-labelledby"));
    if (isIntersecting) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

const readingLine = new IntersectionObserver(hereNow, { rootMargin: "-30% 0px -69% 0px" });
document.querySelectorAll("main > section").forEach((section) => readingLine.observe(section));

systemDark.addEventListener("change", themeChanged);
themeButton.hidden = false;
themeChanged();
