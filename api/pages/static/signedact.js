// One act of a page that a passkey signs: what was signed is kept until it is answered.

import { tell, tellFailure } from "./screens.js";

/**
 * An act whose signed statement stands in `state[name]`, over any reload, until it is forgotten.
 * Where nothing was signed, the notice says why, and nothing is kept or sent.
 */
export function signedAct({ state, save, name, notice, send }) {
  return {
    /** Keep what `signing` gives, and send it. */
    perform: async (signing) => {
      tell(notice, "");
      try {
        state[name] = await signing();
        save();
      } catch (error) {
        tellFailure(notice, error);
        return;
      }
      await send();
    },
    /** It was answered, or can never be. */
    forget: () => {
      delete state[name];
      save();
    },
  };
}
