// A query's result as fields with their configuration, and as series over time.

// fields joins a result's columns with the panel's field options: the defaults, then the overrides by name.
export function fields(panel, result) {
  return result.columns.map((column, i) => {
    const config = { ...panel.fieldConfig?.defaults, custom: { ...panel.fieldConfig?.defaults?.custom } };
    configure(config, panel, column.name);
    return { name: column.name, type: column.type, label: config.displayName ?? column.name, config, values: result.rows.map((row) => row[i]) };
  });
}

function configure(config, panel, name) {
  for (const override of panel.fieldConfig?.overrides ?? []) {
    const { id, options } = override.matcher;
    if (id === 'byName' ? options !== name : id !== 'byRegexp' || !new RegExp(options.replace(/^\/|\/$/g, '')).test(name)) continue;
    for (const property of override.properties) {
      if (property.id.startsWith('custom.')) config.custom[property.id.slice(7)] = property.value;
      else config[property.id] = property.value;
    }
  }
  return config;
}

export const isTime = (field) => /^(Nullable\()?DateTime/.test(field.type);
export const isNumber = (field) => /^(Nullable\()?(U?Int|Float|Decimal)/.test(field.type);

// series turns a result with a column `time` into lines: one for each number column, and for each value of the text
// columns where there are some. Values are aligned on one list of times; null is a gap.
export function series(panel, result) {
  const all = fields(panel, result);
  const time = all.find((f) => f.name === 'time') ?? all.find(isTime);
  if (!time) return { times: [], lines: [] };
  const labels = all.filter((f) => f !== time && !isNumber(f));
  const numbers = all.filter((f) => f !== time && isNumber(f));
  const times = [...new Set(time.values)].sort((a, b) => a - b);
  const index = new Map(times.map((t, i) => [t, i]));
  const lines = new Map();
  time.values.forEach((t, row) => {
    const label = labels.map((f) => f.values[row]).filter((v) => v !== '').join(' ');
    for (const f of numbers) {
      const name = !labels.length ? f.label : numbers.length > 1 ? `${label} ${f.label}` : label || f.label;
      let line = lines.get(name);
      if (!line) {
        const config = configure({ ...f.config, custom: { ...f.config.custom } }, panel, name);
        lines.set(name, line = { name, config, values: new Array(times.length).fill(null) });
      }
      line.values[index.get(t)] = f.values[row];
    }
  });
  return { times, lines: [...lines.values()] };
}

// steady puts the steps in which nothing was counted between the others, so that a line falls to nothing instead of
// running across. It is for counts; sizes and the like keep their gaps. The steps at the ends that the range cuts are left
// out: half a minute's events look like a fall.
export function steady({ times, lines }, step, range) {
  if (!step || !times.length) return { times, lines };
  const every = new Set(times);
  for (let t = Math.ceil(range.from / step) * step; t <= range.to; t += step) every.add(t);
  const whole = [...every].filter((t) => t >= range.from && t + step <= range.to);
  const full = (whole.length > 2 ? whole : [...every]).sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  return { times: full, lines: lines.map((line) => ({ ...line, values: full.map((t) => line.values[at.get(t)] ?? 0) })) };
}

// last is a list's last number, or what else the panel wants of it.
export function reduce(values, how = 'lastNotNull') {
  const known = values.filter((v) => v !== null && v !== undefined);
  if (!known.length) return null;
  switch (how) {
    case 'sum': return known.reduce((a, b) => a + b, 0);
    case 'max': return Math.max(...known);
    case 'min': return Math.min(...known);
    case 'mean': return known.reduce((a, b) => a + b, 0) / known.length;
    default: return known.at(-1);
  }
}
