// A chart of the plotting library in a box: redrawn with the theme, resized with the page, and
// moved with the keyboard where it zooms.

var charts = [];

function base() {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", color: color("ink") },
    tooltip: {
      confine: true, appendTo: "body", backgroundColor: color("surface"), borderColor: color("line"), borderWidth: 1,
      padding: [7, 10], textStyle: { color: color("ink") }, transitionDuration: 0
    }
  };
}

function axis(extra) {
  var common = {
    axisLine: { lineStyle: { color: color("line") } },
    axisTick: { lineStyle: { color: color("line") } },
    axisLabel: { color: color("muted"), hideOverlap: true, fontSize: 11 },
    nameTextStyle: { color: color("muted"), fontSize: 11 },
    splitLine: { lineStyle: { color: color("grid") } }
  };
  Object.keys(extra).forEach(function (key) {
    common[key] = typeof extra[key] === "object" && !Array.isArray(extra[key]) && common[key]
      ? Object.assign({}, common[key], extra[key]) : extra[key];
  });
  return common;
}

// Zoom along x with the slider, a pinch, a drag, the wheel with Ctrl, the buttons or the keys.
function zooms(xAxes, bottom) {
  return [
    { id: "inside", type: "inside", xAxisIndex: xAxes, filterMode: "weakFilter", zoomOnMouseWheel: "ctrl",
      moveOnMouseMove: true, moveOnMouseWheel: false, minSpan: 0.05 },
    { id: "slider", type: "slider", xAxisIndex: xAxes, filterMode: "weakFilter", bottom: bottom, height: 18,
      showDetail: false, showDataShadow: false, brushSelect: false, borderColor: color("line"), minSpan: 0.05,
      fillerColor: "rgba(120,130,150,0.18)", handleStyle: { color: color("surface"), borderColor: color("muted") },
      moveHandleStyle: { color: color("line") }, emphasis: { moveHandleStyle: { color: color("muted") } } }
  ];
}

// draw(width) gives the option, height(width) the pixels; `zoom` adds buttons and keys.
function chart(box, label, height, draw, zoom) {
  var frame = el("div", { class: "chart", role: "img", "aria-label": label, tabindex: zoom ? "0" : null });
  var entry = { frame: frame, instance: null, draw: draw, height: height };
  if (zoom) { box.append(zoomTools(entry, label)); }
  box.append(frame);
  entry.start = function () {
    frame.style.height = height(frame.clientWidth) + "px";
    entry.instance = echarts.init(frame, null, { renderer: "canvas" });
    entry.instance.setOption(draw(frame.clientWidth));
  };
  if (zoom) {
    frame.addEventListener("keydown", function (event) {
      var step = { ArrowLeft: ["pan", -0.25], ArrowRight: ["pan", 0.25], "+": ["zoom", 0.6], "=": ["zoom", 0.6],
        "-": ["zoom", 1 / 0.6], "0": ["zoom", Infinity] }[event.key];
      if (step && !event.ctrlKey && !event.metaKey) { event.preventDefault(); moveZoom(entry, step[0], step[1]); }
    });
  }
  charts.push(entry);
  return entry;
}

function zoomTools(entry, label) {
  function button(text, name, kind, amount) {
    return el("button", { type: "button", "aria-label": name + ": " + label, title: name, text: text,
      on: { click: function () { moveZoom(entry, kind, amount); } } });
  }
  return el("div", { class: "tools" }, [
    button("+", "Zoom in", "zoom", 0.6), button("\u2212", "Zoom out", "zoom", 1 / 0.6),
    button("\u2190", "Earlier", "pan", -0.25), button("\u2192", "Later", "pan", 0.25),
    button("Reset", "Show all", "zoom", Infinity),
    el("span", { class: "about", text: "Drag to move, Ctrl + wheel to zoom; keys + \u2212 \u2190 \u2192 0." })
  ]);
}

function moveZoom(entry, kind, amount) {
  var now = entry.instance.getOption().dataZoom[0];
  var width = now.end - now.start, middle = (now.start + now.end) / 2;
  if (kind === "pan") { middle += amount * width; } else { width = Math.min(100, Math.max(0.05, width * amount)); }
  middle = Math.min(100 - width / 2, Math.max(width / 2, middle));
  entry.instance.dispatchAction({ type: "dataZoom", dataZoomIndex: 0, start: middle - width / 2, end: middle + width / 2 });
}

function startCharts() { charts.forEach(function (entry) { entry.start(); }); }

function stopCharts() {
  charts.forEach(function (entry) { if (entry.instance) { entry.instance.dispose(); } });
  charts = [];
}

function redrawCharts() {
  charts.forEach(function (entry) {
    if (!entry.instance) { return; }
    var zoom = entry.instance.getOption().dataZoom;
    var option = entry.draw(entry.frame.clientWidth);
    if (zoom && zoom.length && option.dataZoom) {
      option.dataZoom.forEach(function (one, i) {
        if (zoom[i]) { one.start = zoom[i].start; one.end = zoom[i].end; }
      });
    }
    entry.instance.setOption(option, { notMerge: true });
  });
}

function resizeCharts() {
  charts.forEach(function (entry) {
    if (!entry.instance) { return; }
    entry.frame.style.height = entry.height(entry.frame.clientWidth) + "px";
    entry.instance.resize();
  });
  redrawCharts();
}

// A clipped rectangle of a custom series between two points of its coordinate system.
function rectangle(params, from, to, minimum) {
  var area = params.coordSys;
  var width = Math.max(minimum, to[0] - from[0]), height = Math.max(minimum, from[1] - to[1]);
  return echarts.graphic.clipRectByRect(
    { x: from[0], y: from[1] - height, width: width, height: height },
    { x: area.x, y: area.y, width: area.width, height: area.height });
}
