// The server's answers as JSON. An answer that is an error becomes one, with the server's words.

export const get = (path, signal) => answer(path, { signal, headers: { Accept: 'application/json' } });

// send writes as the one whose token it is.
export const send = (path, body, token) => answer(path, {
  method: 'POST', headers: { Accept: 'application/json', 'Content-Type': 'application/json', Authorization: `Bearer ${token}` }, body: JSON.stringify(body),
});

async function answer(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new Error('tocsin does not answer');
  }
  const body = await response.json().catch(() => null);
  if (!response.ok || body === null) throw new Error(body?.error ?? `tocsin answered ${response.status}`);
  return body;
}

// ask adds what all queries have in common: the dashboard, the range and the variables.
export function ask(path, view, extra, signal) {
  const query = new URLSearchParams({ dashboard: view.uid, from: Math.round(view.range.from), to: Math.round(view.range.to), ...extra });
  for (const [name, values] of Object.entries(view.vars)) for (const value of values) query.append(`var-${name}`, value);
  return get(`/api/${path}?${query}`, signal);
}
