(function () {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const box = document.getElementById("plot");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
let chart = null;

// Told apart on white and on black, also by the colour-blind; after them shapes go on.
const COLORS = ["#2f7fe0", "#e0702a", "#129b74", "#a66bd9", "#c29a13", "#d9577f", "#1ba3c6"];
const SHAPES = ["circle", "rect", "triangle", "diamond"];

function escaped(text) {
  const node = document.createElement("span");
  node.textContent = text;
  return node.innerHTML;
}

function hint(items) {
  const head = escaped(data.x.name + " = " + items[0].axisValue);
  const rows = items.filter((item) => item.value !== null && item.value !== undefined)
    .map((item) => item.marker + escaped(item.seriesName) + ": <b>" + item.value.toPrecision(4) +
      "</b> " + data.unit);
  return [head].concat(rows).join("<br>");
}

function draw() {
  if (chart) chart.dispose();
  const text = getComputedStyle(document.body).color;
  chart = echarts.init(box, dark.matches ? "dark" : null, {renderer: "canvas"});
  chart.setOption({
    backgroundColor: "transparent",
    color: COLORS,
    animation: false,
    textStyle: {fontFamily: "system-ui, sans-serif", color: text},
    legend: {type: "scroll", top: 0, textStyle: {color: text}},
    tooltip: {trigger: "axis", formatter: hint, confine: true},
    grid: {left: 70, right: 24, top: 48, bottom: 56},
    xAxis: {type: "category", data: data.x.labels, name: data.x.name, nameLocation: "middle",
      nameGap: 32, boundaryGap: false},
    yAxis: {type: "value", name: "latency (" + data.unit + ")", min: 0},
    series: data.series.map((line, i) => ({
      symbol: SHAPES[Math.floor(i / COLORS.length) % SHAPES.length],
      name: line.name, type: "line", data: line.values, connectNulls: false,
      symbolSize: line.main ? 8 : 5,
      lineStyle: {width: line.main ? 2.5 : 1.2, type: line.main ? "solid" : "dashed"},
    })),
  });
}

draw();
dark.addEventListener("change", draw);
window.addEventListener("resize", () => chart.resize());
})();
