// Ops between the roofs of the array and of one memory, whose bytes are the x axis.

function roofline(main, one) {
  var data = one.ops, tiers = one.tiers, peaks = one.roofs.peaks;
  var rows = data.index.map(function (index, i) { return i; }).filter(function (i) { return data.macs[i] > 0 && data.duration_s[i] > 0; });
  if (!rows.length) { return; }
  var box = section(main, "roofline", "Roofline", "Each point is an op with matrix products: its rate against its products per byte of one memory. "
    + "On the sloped roof that memory is too slow, on the flat one the array. A point above the slope had its weights prefetched "
    + "during earlier ops. Larger points last longer.");
  var picked = 0, entry;
  var pick = choice("Bytes of", tiers.map(function (tier, k) { return [String(k), tier.name]; }), function (value) {
    picked = Number(value);
    redrawCharts();
  });
  box.append(el("div", { class: "tools" }, pick.label));
  var bounds = Array.from(new Set(rows.map(function (i) { return data.bound[i]; }))).sort();
  box.append(legend(bounds.map(function (bound) { return ["bound by " + boundName(bound), boundColor(bound, tiers)]; })));
  var remark = el("p", { class: "about" });

  function rate(i) { return data.macs[i] / data.duration_s[i]; }

  function draw(width) {
    var tier = tiers[picked], inside = rows.filter(function (i) { return data.bytes[i][picked] > 0; });
    var x = inside.map(function (i) { return data.macs[i] / data.bytes[i][picked]; });
    var bandwidth = tier.read_bytes_per_s, peak = Math.max.apply(null, peaks.map(function (p) { return p[1]; }).concat(rows.map(rate)));
    var ridge = peak / bandwidth;
    var low = Math.pow(10, Math.floor(Math.log10(Math.min.apply(null, x.concat([ridge])) * 0.8)));
    var high = Math.pow(10, Math.ceil(Math.log10(Math.max.apply(null, x.concat([ridge])) * 1.5)));
    var edge = high / 1.08, outside = rows.length - inside.length;
    var floor = Math.pow(10, Math.floor(Math.log10(Math.min.apply(null, rows.map(rate)))));
    remark.textContent = outside ? plural(outside, "op") + " without traffic to " + tier.name + (outside === 1 ? " is" : " are")
      + " drawn hollow at the right edge." : "";
    var roofs = peaks.map(function (p) {
      return { name: p[0].replace("*", " x ") + ": " + number(p[1]) + "MAC/s", from: [p[1] / bandwidth, p[1]], to: [high, p[1]], dash: "solid" };
    });
    tiers.map(function (other, k) { return k; }).sort(function (a, b) {
      return tiers[b].read_bytes_per_s - tiers[a].read_bytes_per_s;
    }).forEach(function (k, position) {
      var other = tiers[k];
      if (k !== picked && other.read_bytes_per_s * low > peak) { return; }
      var until = Math.min(high, peak / other.read_bytes_per_s);
      roofs.push({ name: other.name + ": " + number(other.read_bytes_per_s) + "B/s", from: [low, low * other.read_bytes_per_s],
        to: [until, until * other.read_bytes_per_s], dash: k === picked ? "solid" : "dashed", slope: true, faint: k !== picked, above: position % 2 === 0 && k !== picked });
    });
    return Object.assign(base(), {
      grid: { left: width < 600 ? 66 : 84, right: 20, top: 30, bottom: 44 },
      xAxis: axis({ type: "log", min: low, max: high, name: "MACs per byte of " + tier.name, nameLocation: "middle", nameGap: 26, axisLabel: { formatter: number } }),
      yAxis: axis({ type: "log", min: floor, max: Math.pow(10, Math.ceil(Math.log10(peak * 1.2))), name: "MAC/s", axisLabel: { formatter: number } }),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: function (params) {
        if (params.seriesType === "line") { return tip(params.seriesName, []); }
        var i = params.value[2];
        return tip(data.name[i], [["achieves", number(rate(i)) + "MAC/s"], ["utilisation", percent(data.utilization[i])],
          ["bound by", boundName(data.bound[i])], ["duration", seconds(data.duration_s[i])], ["MACs", number(data.macs[i])],
          [tier.name, bytes(data.bytes[i][picked])]]);
      } }),
      series: roofs.map(function (roof) {
        return { type: "line", name: roof.name, data: [roof.from, roof.to], symbol: "none", clip: true,
          lineStyle: { color: color("muted"), width: roof.faint ? 1 : 1.6, type: roof.dash }, emphasis: { disabled: true },
          endLabel: { show: !roof.slope, formatter: function () { return roof.name; }, color: color("muted"), fontSize: 11, align: "right", offset: [-6, -9] },
          markPoint: roof.slope ? { symbol: "circle", symbolSize: 0.1, silent: true, data: [{ coord: middleOf(roof) }],
            label: { show: true, formatter: function () { return roof.name; }, color: color("muted"), fontSize: 11, position: roof.above ? "left" : "right", distance: 10 } } : undefined };
      }).concat([{
        type: "scatter",
        data: rows.map(function (i) {
          var out = data.bytes[i][picked] === 0, paint = color(boundColor(data.bound[i], tiers));
          return { value: [out ? edge : data.macs[i] / data.bytes[i][picked], rate(i), i],
            symbolSize: 6 + 22 * Math.sqrt(data.duration_s[i] / one.headline.latency_s),
            itemStyle: out ? { color: "transparent", borderColor: paint, borderWidth: 1.5 } : { color: paint, opacity: 0.72, borderColor: color("surface"), borderWidth: 0.8 } };
        })
      }])
    });
  }

  function middleOf(roof) {
    var t = roof.above ? 0.75 : 0.4;
    return [Math.pow(10, Math.log10(roof.from[0]) * (1 - t) + Math.log10(roof.to[0]) * t),
      Math.pow(10, Math.log10(roof.from[1]) * (1 - t) + Math.log10(roof.to[1]) * t)];
  }

  entry = chart(box, "Roofline of the ops", function (width) { return width < 600 ? 300 : 400; }, draw, false);
  box.append(remark);
}
