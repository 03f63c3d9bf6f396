// What a page must not forget over a reload (this tab only), and what another tab may take up.

/** A state in sessionStorage; `save` after every change. Gone when the tab is closed. */
export function pageState(name) {
  const state = read(sessionStorage, name);
  return {
    state,
    save: () => sessionStorage.setItem(name, JSON.stringify(state)),
    reset: (values) => {
      for (const key of Object.keys(state)) {
        delete state[key];
      }
      Object.assign(state, values);
      sessionStorage.setItem(name, JSON.stringify(state));
    },
  };
}

/** Take the secret out of the address: it stays out of the history, and off the screen. */
export function takeFragment() {
  const fragment = location.hash.slice(1);
  if (fragment) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return fragment;
}

export function readShared(name) {
  return read(localStorage, name);
}

export function writeShared(name, value) {
  if (value === null) {
    localStorage.removeItem(name);
  } else {
    localStorage.setItem(name, JSON.stringify(value));
  }
}

function read(storage, name) {
  try {
    return JSON.parse(storage.getItem(name)) ?? {};
  } catch {
    return {};
  }
}
