// Several cases side by side.

var GROUPS = [["ideal", "products at full rate", "mac"], ["utilization", "array not fully used", "loss"], ["vector", "vector unit", "vector"],
  ["memory", "memories and interconnect", "tier1"], ["stall", "waiting for weights", "stall"], ["overhead", "launch and fill", "overhead"]];

function caseLabels(cases) {
  function distinct(texts) { return new Set(texts).size === cases.length; }
  var ways = [
    function (one) { return one.name; },
    function (one) { return one.name + ", " + one.headline.target; },
    function (one) { return one.name + ", " + one.headline.placer; },
    function (one) { return one.name + ", " + one.headline.target + ", " + one.headline.placer; }
  ];
  for (var w = 0; w < ways.length; w++) {
    var texts = cases.map(ways[w]);
    if (distinct(texts)) { return texts; }
  }
  return cases.map(function (one, i) { return (i + 1) + ": " + ways[3](one); });
}

function compare(main, data, labels) {
  var cases = data.cases;
  var box = section(main, "compare", "Comparison", "All cases of this report. The best of each row is set in bold.", true);
  function best(values, less) {
    var known = values.filter(function (value) { return value !== null; });
    return known.length ? (less ? Math.min : Math.max).apply(null, known) : null;
  }
  var metrics = [
    ["Latency", "latency_s", seconds, true], ["First inference", "cold_latency_s", seconds, true], ["Proven bound", "lower_bound_s", seconds, null],
    ["Proven gap", "gap", percent, true], ["Speed-up over best reference", "speedup_over_best_reference", ratio, false],
    ["Speed-up over native", "speedup_over_native", ratio, false], ["Gap closed", "gap_closed", percent, false],
    ["Energy", "energy_j", joules, true], ["Power", "power_w", function (value) { return digits(value) + " W"; }, true]
  ];
  var texts = [["Model", "model"], ["Target", "target"], ["Execution type", "execution_type"], ["Placed by", "placer"]];
  var rows = texts.map(function (row) {
    return el("tr", {}, [el("th", { scope: "row", text: row[0] })].concat(cases.map(function (one) { return el("td", { class: "num" }, nameOf(one.headline[row[1]])); })));
  }).concat(metrics.map(function (metric) {
    var values = cases.map(function (one) { return one.headline[metric[1]]; });
    var top = metric[3] === null ? null : best(values, metric[3]);
    return el("tr", {}, [el("th", { scope: "row", text: metric[0] })].concat(values.map(function (value) {
      return el("td", { class: "num" + (value !== null && value === top ? " best" : ""), text: value === null ? "" : metric[2](value) });
    })));
  }));
  box.append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Headline numbers of all cases" }, el("table", {}, [
    el("thead", {}, el("tr", {}, [el("th", { text: "" })].concat(labels.map(function (label) { return el("th", { class: "num", scope: "col" }, nameOf(label)); })))),
    el("tbody", {}, rows)])));
  box.append(el("h3", { text: "Where the time goes" }));
  shares(box, cases, labels);
  differences(box, data.comparison, labels);
}

function shares(box, cases, labels) {
  box.append(legend(GROUPS.map(function (group) { return [group[1], group[2]]; })));
  function part(one, kind) {
    return sum(one.waterfall.filter(function (step) { return step.kind === kind; }).map(function (step) { return step.seconds; }));
  }
  chart(box, "Latency of all cases by where the time goes", function () { return 50 + 36 * cases.length; }, function (width) {
    var left = width < 600 ? 104 : 230;
    return Object.assign(base(), {
      grid: { left: left, right: 84, top: 4, bottom: 26 },
      xAxis: axis({ type: "value", min: 0, axisLabel: { formatter: seconds } }),
      yAxis: axis({ type: "category", inverse: true, data: labels.map(function (label) { return fit(label, width < 600 ? 18 : 40); }), axisTick: { show: false },
        axisLabel: { interval: 0, hideOverlap: false, width: left - 8, overflow: "truncate", color: color("ink") } }),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: function (params) {
        return tip(labels[params.dataIndex], [[params.seriesName, seconds(params.value)], ["of", seconds(cases[params.dataIndex].headline.latency_s)]]);
      } }),
      series: GROUPS.map(function (group, g) {
        return { type: "bar", name: group[1], stack: "all", barWidth: "58%", itemStyle: { color: color(group[2]), borderColor: color("surface"), borderWidth: 0.8 },
          data: cases.map(function (one) { return part(one, group[0]); }),
          label: g === GROUPS.length - 1 ? { show: true, position: "right", color: color("muted"), fontSize: 11,
            formatter: function (params) { return seconds(cases[params.dataIndex].headline.latency_s); } } : undefined };
      })
    });
  }, false);
}

function differences(box, found, labels) {
  if (!found.matched) { return; }
  box.append(el("h3", { text: "Ops that differ" }), el("p", { class: "about", text: plural(found.matched, "op")
    + " of the same name, " + whole(found.different) + " of another duration"
    + (found.names.length < found.different ? "; the " + whole(found.names.length) + " largest differences are listed." : ".") }));
  if (!found.names.length) { return; }
  var rows = found.names.map(function (name, i) { return i; });
  table(box, "Ops that differ", [
    { label: "Op", value: function (i) { return found.names[i]; }, show: function (i) { return nameOf(found.names[i]); } }
  ].concat(labels.map(function (label, c) {
    return { label: label, num: true, value: function (i) { return found.duration_s[i][c]; }, show: function (i) {
      var value = found.duration_s[i][c];
      return value === null ? "" : seconds(value) + ", " + boundName(found.bound[i][c]);
    } };
  }), [{ label: "Spread", num: true, value: function (i) { return found.spread_s[i]; }, show: function (i) { return seconds(found.spread_s[i]); } }]),
  rows, { search: function (i) { return found.names[i]; }, sort: [labels.length + 1, true], tall: true });
}
