// From the least time that the matrix products need to the latency.

function stepName(step) {
  switch (step.kind) {
    case "ideal": return "products at full rate";
    case "utilization": return "array not fully used";
    case "vector": return "vector unit";
    case "memory": return "memory: " + step.name;
    case "stall": return step.name ? "waiting for " + step.name : "waiting for " + plural(step.count, "other tensor");
    default: return "launch and fill";
  }
}

function stepColor(step, tiers) {
  return { ideal: "mac", utilization: "loss", vector: "vector", stall: "stall", overhead: "overhead" }[step.kind] || boundColor(step.name, tiers);
}

function waterfall(main, one) {
  var total = one.headline.latency_s, at = 0;
  var steps = one.waterfall.filter(function (step) { return step.seconds > total * 1e-9; }).map(function (step) {
    var row = { name: stepName(step), brief: step.kind === "stall" && step.name ? step.name : stepName(step), color: stepColor(step, one.tiers), from: at, seconds: step.seconds };
    at += step.seconds;
    return row;
  });
  steps.push({ name: "latency", brief: "latency", color: "ink", from: 0, seconds: total });
  var box = section(main, "where", "Where the time goes", "Every second of every op is counted once; the steps add up to the latency. "
    + "What an op lasts beyond its arithmetic is counted for the memory that it is as long as, then for the tensor that it waits for.");

  function draw(width) {
    var narrow = width < 600;
    return Object.assign(base(), {
      grid: { left: narrow ? 124 : 230, right: narrow ? 96 : 130, top: 4, bottom: 26 },
      xAxis: axis({ type: "value", min: 0, max: total, axisLabel: { formatter: seconds, showMaxLabel: false } }),
      yAxis: axis({ type: "category", inverse: true, data: steps.map(function (step) { return narrow ? fit(step.brief, 20) : fit(step.name, 42); }), axisTick: { show: false },
        axisLabel: { interval: 0, hideOverlap: false, width: narrow ? 116 : 222, overflow: "truncate", color: color("ink") } }),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: function (params) {
        var step = steps[params.dataIndex];
        return tip(step.name, [["time", seconds(step.seconds)], ["share", percent(step.seconds / total)]]);
      } }),
      series: [
        { type: "bar", stack: "w", silent: true, itemStyle: { color: "transparent" }, data: steps.map(function (step) { return step.from; }), barWidth: "62%" },
        { type: "bar", stack: "w", barMinHeight: 1, data: steps.map(function (step) { return { value: step.seconds, itemStyle: { color: color(step.color) } }; }),
          label: { show: true, position: "right", color: color("muted"), fontSize: 11, formatter: function (params) {
            var step = steps[params.dataIndex];
            return seconds(step.seconds) + (narrow ? "" : ", " + percent(step.seconds / total));
          } } }
      ]
    });
  }
  chart(box, "Waterfall from ideal time to latency", function () { return 40 + 28 * steps.length; }, draw, false);
}
