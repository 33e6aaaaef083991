// Intervals and tests for shares of questions, and for answers to the same questions under two conditions.
#pragma once

namespace throng::eval {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

// 95 %, of a share of which `hits` of `trials` were seen (Wilson's score interval); all of [0, 1] without
// trials.
Interval WilsonInterval(int hits, int trials);

// McNemar's exact test: how likely a split of the differing answers at least as uneven as lost : gained is if
// both directions are equally likely. Two-sided.
double McNemarP(int lost, int gained);

// 95 %, of the difference of two shares of the same `trials`, (gained - lost) / trials: the paired interval
// of Agresti and Min, half an observation added to each of the four cells.
Interval PairedInterval(int lost, int gained, int trials);

}  // namespace throng::eval
