// Intervals and tests for shares of questions, and for answers to the same questions under two conditions.
#pragma once

namespace throng::eval {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

// 95 % interval of a share, from `hits` of `trials` (Wilson's score interval); [0, 1] without trials.
Interval WilsonInterval(int hits, int trials);

// McNemar's exact test: the probability of a split of the differing answers at least as uneven as lost :
// gained if both directions are equally likely. Two-sided.
double McNemarP(int lost, int gained);

// 95 % interval of the difference of two shares of the same `trials`, (gained - lost) / trials: the paired
// interval of Agresti and Min, with half an observation added to each of the four cells.
Interval PairedInterval(int lost, int gained, int trials);

}  // namespace throng::eval
