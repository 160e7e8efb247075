// Horizontal bars with their numbers beside them.

// rows: {name, value, color, text, strong}; options: {line: [value, text]}.
function bars(box, label, rows, options) {
  var line = options && options.line;
  var most = Math.max.apply(null, rows.map(function (row) { return row.value; }));
  function draw(width) {
    var narrow = width < 600, left = narrow ? 104 : 150;
    return Object.assign(base(), {
      grid: { left: left, right: 110, top: line ? 20 : 4, bottom: 8 },
      xAxis: axis({ type: "value", min: 0, max: most, show: false }),
      yAxis: axis({ type: "category", inverse: true, data: rows.map(function (row) { return row.name; }), axisTick: { show: false }, axisLine: { show: false },
        axisLabel: { interval: 0, hideOverlap: false, width: left - 8, overflow: "truncate", color: color("ink") } }),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: function (params) {
        return params.componentType === "series" ? tip(rows[params.dataIndex].name, [["", rows[params.dataIndex].text]]) : "";
      } }),
      series: [{
        type: "bar", barWidth: "60%", barMinHeight: 1,
        data: rows.map(function (row) { return { value: row.value, itemStyle: { color: color(row.color) } }; }),
        label: { show: true, position: "right", color: color("muted"), fontSize: 11, formatter: function (params) { return rows[params.dataIndex].text; } },
        markLine: line ? { symbol: "none", silent: true, precision: -1, lineStyle: { color: color("ink"), type: "dashed", width: 1 }, data: [{ xAxis: line[0] }],
          label: { formatter: line[1], color: color("muted"), fontSize: 11, position: "start", rotate: 0, distance: 4 } } : undefined
      }]
    });
  }
  chart(box, label, function () { return 16 + (line ? 18 : 0) + 28 * rows.length; }, draw, false);
}
