"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const root = document.documentElement;
const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

function ink(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

// The page's colours, on every axis that the figure has.
function scheme(layout) {
  const found = {
    "font.color": ink("--ink"),
    "font.family": ink("--font"),
    "hoverlabel.bgcolor": ink("--card"),
    "hoverlabel.bordercolor": ink("--rule"),
    "hoverlabel.font.color": ink("--ink"),
    "legend.font.color": ink("--ink"),
    "modebar.bgcolor": "rgba(0,0,0,0)",
    "modebar.color": ink("--rule"),
    "modebar.activecolor": ink("--faint"),
  };
  for (const axis of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
    found[`${axis}.gridcolor`] = ink("--rule");
    found[`${axis}.zerolinecolor`] = ink("--faint");
    found[`${axis}.linecolor`] = ink("--rule");
    found[`${axis}.tickfont.color`] = ink("--faint");
  }
  return found;
}

function hosts() {
  return Object.keys(figures).map((id) => document.getElementById(id));
}

function paint(more) {
  for (const host of hosts()) Plotly.relayout(host, { ...scheme(host.layout), ...(more ? more(host) : {}) });
}

// On a small screen the words beside the axes would cover their figures.
function slim(layout) {
  Object.assign(layout.margin, { l: 48, r: 4 });
  for (const axis of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
    if (axis.startsWith("y")) delete layout[axis].title;
    else layout[axis].title = { ...layout[axis].title, font: { size: 11 } };
  }
}

const narrow = matchMedia("(max-width: 640px)").matches;
const drawn = Object.entries(figures).map(([id, figure]) => {
  if (narrow) slim(figure.layout);
  return Plotly.newPlot(id, figure.data, figure.layout, { ...config, displayModeBar: narrow ? false : "hover" });
});
Promise.all(drawn).then(() => {
  paint();
  root.dataset.drawn = "yes";
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint());
addEventListener("beforeprint", () => {
  root.dataset.print = "yes";
  paint(() => ({ autosize: false, width: 700 }));
});
addEventListener("afterprint", () => {
  delete root.dataset.print;
  paint(() => ({ autosize: true, width: null }));
});
