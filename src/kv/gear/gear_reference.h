// GEAR and its backbones in double precision, written to be read: the specification of the codecs.
// Approximates X by D + S + L: codes of a few bits in groups, each with its own range (D), outliers kept
// unchanged (S), and a low-rank fit of the rest (L). Takes any number of tokens and heads, and any unit of
// tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

enum class Backbone {
  kPerToken,  // groups of g channels of one token, across heads
  kKcvt,      // keys: a channel over the unit's tokens; values: a token over all channels and heads
  kKivi,      // keys: a channel over g tokens; values: a token over g channels of one head
};

struct TensorShape {
  int heads, tokens, head_dim;  // [heads, tokens, head_dim]
  size_t Size() const { return static_cast<size_t>(heads) * tokens * head_dim; }
};

// How outliers are chosen.
enum class OutlierRule {
  kPerVector,  // floor(s len / 2) on each side of each channel (keys) or token (values)
  kPerUnit,    // round(s size) of the whole unit, where they reduce the groups' squared ranges most
};

struct GearMethod {
  int bits = 4;
  Backbone backbone = Backbone::kKivi;
  int group = 64;
  double sparsity = 0.0;
  OutlierRule rule = OutlierRule::kPerVector;
  int rank = 0;
  int sweeps = 3;
  int unit = 0;  // tokens compressed together; 0: all
  // 0: as published, D and S first, then L, once. Else L is first fitted to X without its groups' means, then
  // S is chosen, and D and L are fitted in turns, this often: D to X - L, L to X - D (and, in the place of
  // outliers, to itself).
  int rounds = 0;
  // With rounds: also as published, and of the two what leaves less squared error outside of outliers.
  bool both_ways = false;
  bool int8_factors = false;       // L has the factors' rounding of the codecs
  std::vector<double> start = {};  // of the power iteration, [head_dim, rank]; empty: uniform numbers
};

struct GearResult {
  std::vector<double> coded;     // D + S
  std::vector<double> low_rank;  // L
  std::vector<bool> outlier;
  std::vector<double> Sum() const;
};

struct QuantizedGroup {
  std::vector<int> codes;
  double scale, zero;  // half floats
  double Value(size_t i) const { return scale == 0.0 ? zero : codes[i] * scale + zero; }
};

// The range covers the elements that are not excluded; excluded ones get the nearest code.
QuantizedGroup QuantizeGroup(const std::vector<double>& x, int bits, const std::vector<bool>& excluded = {});

using Group = std::vector<size_t>;  // indices of elements that share a scale
std::vector<Group> MakeGroups(Part part, Backbone backbone, int group, const TensorShape& shape);

std::vector<bool> VectorOutliers(Part part, const TensorShape& shape, const std::vector<double>& x, double s);

// Removes elements one by one: each time the smallest or largest element of a group whose removal most
// reduces the square of the group's range. Ties go to the first group and the first element; low before high.
std::vector<bool> BudgetOutliers(const std::vector<Group>& groups, const std::vector<double>& x,
                                 size_t budget);

// L = a b^T with orthonormal columns of a (columns of a lost rank are 0).
struct Factors {
  std::vector<double> a;  // [rows, rank]
  std::vector<double> b;  // [cols, rank]
};
// matrix: [rows, cols]; start: [cols, rank]. Fits may go on from earlier factors: start: their b.
Factors PowerIteration(const std::vector<double>& matrix, int rows, int cols, int rank, int sweeps,
                       std::vector<double> start);
// Rounds each column to 255 steps of one size.
Factors RoundFactors(const Factors& factors, int rank);
std::vector<double> Multiply(const Factors& factors, int rows, int cols, int rank);

// Without method.start, the low-rank term of each head starts from the same uniform numbers in every unit.
GearResult ApproximateGear(const GearMethod& method, Part part, const TensorShape& shape,
                           const std::vector<double>& x);

}  // namespace throng::kv
