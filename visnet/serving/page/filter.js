// What narrows the answers: of each column its chosen values or its bounds, as the service's filter and as this page's.
//
// Here a filter is {columns: {name: {values}, {min, max} or {below}}, rest}; `rest` are the parts of an address's filter that
// this page has no controls for: they hold as they are.

export const NONE = Object.freeze({ columns: {}, rest: [] });

/** Read a filter from the service's JSON; what is none is kept, so that the service says what is wrong with it. */
export function read(text) {
  if (!text) return NONE;
  let whole;
  try {
    whole = JSON.parse(text);
  } catch {
    return { columns: {}, rest: [text] };
  }
  const columns = {};
  const rest = [];
  for (const part of Array.isArray(whole?.and) ? whole.and : [whole]) {
    const found = chosen(part);
    if (found && !(part.column in columns)) columns[part.column] = found;
    else rest.push(part);
  }
  return { columns, rest };
}

function chosen(part) {
  if (typeof part?.column !== "string") return null;
  if (Array.isArray(part.in)) return { values: part.in };
  if (typeof part.below === "string") return { below: part.below };
  if (part.equals !== undefined) return { values: [part.equals] };
  return part.range ? { min: part.range.min ?? null, max: part.range.max ?? null } : null;
}

/** Write a filter as the service's JSON, null where nothing is narrowed. */
export function write({ columns, rest }) {
  const parts = [...Object.entries(columns).map(([column, one]) => ({ column, ...asked(one) })), ...rest];
  if (parts.length === 1 && typeof parts[0] === "string") return parts[0];
  return parts.length > 1 ? JSON.stringify({ and: parts }) : parts.length ? JSON.stringify(parts[0]) : null;
}

function asked({ values, below, min, max }) {
  if (below !== undefined) return { below };
  if (values) return { in: values };
  return { range: { ...(min !== null && { min }), ...(max !== null && { max }) } };
}

/** Return the filter with a value of a column chosen, or no longer. */
export function toggled(filter, column, value) {
  const before = filter.columns[column]?.values ?? [];
  const values = before.includes(value) ? before.filter((one) => one !== value) : [...before, value];
  return values.length ? { ...filter, columns: { ...filter.columns, [column]: { values } } } : without(filter, column);
}

/** Return the filter with other bounds of a column; null is no bound. */
export function ranged(filter, column, min, max) {
  if (min === null && max === null) return without(filter, column);
  return { ...filter, columns: { ...filter.columns, [column]: { min, max } } };
}

/** Return the filter that keeps, of a column of paths, a path and all below it; "" keeps all. */
export function below(filter, column, path) {
  return path ? { ...filter, columns: { ...filter.columns, [column]: { below: path } } } : without(filter, column);
}

/** Return the filter without what it says of a column. */
export function without(filter, column) {
  const { [column]: _, ...columns } = filter.columns;
  return { ...filter, columns };
}

/** Whether a filter narrows nothing. */
export const empty = ({ columns, rest }) => !rest.length && !Object.keys(columns).length;
