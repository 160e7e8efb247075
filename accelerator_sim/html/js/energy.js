// Where the energy goes.

function energyColor(part, tiers) {
  return part.kind === "tier" ? boundColor(part.name, tiers) : { mac: "mac", vector: "vector" }[part.kind] || "overhead";
}

function energyName(part) {
  return { mac: "matrix products", vector: "vector unit", leakage: "leakage", other: "not attributed" }[part.kind] || part.name;
}

function energy(main, one) {
  var box = section(main, "energy", "Energy", "Of one inference, from the target's energy per operation and per byte.");
  var total = one.headline.energy_j;
  bars(box, "Energy by part", one.energy.map(function (part) {
    return { name: energyName(part), value: part.joules, color: energyColor(part, one.tiers),
      text: joules(part.joules) + ", " + percent(total > 0 ? part.joules / total : 0) };
  }));
}
