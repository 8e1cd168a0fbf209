/** From probabilities to an answer by the contract's rule (mpox.stats.decision, mpox.mobile.run.decision_rule). */

export interface Rule {
  threshold: number | null; // of mpox; null: the largest probability alone decides
  quantiles: number[] | null; // class k is in the prediction set where 1 - p_k is at most its quantile
}

/** suspected: mpox is the likeliest; not_ruled_out: it reaches the threshold alone; unclear: another, or no, class. */
export type Outcome = "suspected" | "not_ruled_out" | "unclear" | "not_suspected";

export interface Decision {
  outcome: Outcome;
  label: number; // index of the class that is named
  set: number[]; // the classes of the prediction set
  refer: boolean;
}

// Rules of earlier versions have no sets: below this probability of the likeliest class the photo is unclear.
const REFER_BELOW = 0.5;

/** Probabilities of logits, which have the temperature in them; float32, as mpox.predict gives them. */
export function softmax(logits: ArrayLike<number>): Float32Array {
  const largest = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (one) => Math.exp(one - largest));
  const total = powers.reduce((sum, one) => sum + one, 0);
  return Float32Array.from(powers, (one) => one / total);
}

/** The mean of the probabilities of several photos of one lesion, on which the rule then decides. */
export function mean(probabilities: ArrayLike<number>[]): number[] {
  return Array.from(probabilities[0], (_, k) => probabilities.reduce((sum, one) => sum + one[k], 0) / probabilities.length);
}

export function decide(probabilities: ArrayLike<number>, positive: number, rule: Rule): Decision {
  const chances = Array.from(probabilities);
  const largest = chances.indexOf(Math.max(...chances));
  const set = chances.flatMap((p, k) => (rule.quantiles === null || 1 - p <= rule.quantiles[k] + 1e-12 ? [k] : []));
  if (largest === positive) return { outcome: "suspected", label: positive, set, refer: true };
  if (rule.threshold !== null && chances[positive] >= rule.threshold) {
    return { outcome: "not_ruled_out", label: positive, set, refer: true };
  }
  const clear = rule.quantiles === null ? chances[largest] >= REFER_BELOW : set.length === 1 && set[0] === largest;
  return { outcome: clear ? "not_suspected" : "unclear", label: largest, set, refer: !clear };
}
