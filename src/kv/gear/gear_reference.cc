#include "kv/gear/gear_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::kv {
namespace {

constexpr uint64_t kStartStream = 101;

size_t At(const TensorShape& shape, int head, int token, int channel) {
  return (static_cast<size_t>(head) * shape.tokens + token) * shape.head_dim + channel;
}

// A token's channels in the order head, channel, cut into pieces of g that do not cross a multiple of `stop`.
void AddTokenGroups(const TensorShape& shape, int g, int stop, std::vector<Group>& groups) {
  const int width = shape.heads * shape.head_dim;
  for (int t = 0; t < shape.tokens; ++t) {
    for (int j = 0; j < width; ++j) {
      if (j % stop % g == 0) groups.emplace_back();
      groups.back().push_back(At(shape, j / shape.head_dim, t, j % shape.head_dim));
    }
  }
}

void AddChannelGroups(const TensorShape& shape, int g, std::vector<Group>& groups) {
  for (int h = 0; h < shape.heads; ++h) {
    for (int c = 0; c < shape.head_dim; ++c) {
      for (int t = 0; t < shape.tokens; ++t) {
        if (t % g == 0) groups.emplace_back();
        groups.back().push_back(At(shape, h, t, c));
      }
    }
  }
}

double SquareDistance(double a, double b) { return (a - b) * (a - b); }

// The remaining elements of a group, sorted.
struct Sorted {
  Group order;
  double gain = 0.0;
  bool low = true;  // whether the low side has that gain

  void Update(const std::vector<double>& x) {
    gain = -1.0;
    const size_t n = order.size();
    if (n < 2) return;
    const double range = SquareDistance(x[order[n - 1]], x[order[0]]);
    const double low_gain = range - SquareDistance(x[order[n - 1]], x[order[1]]);
    const double high_gain = range - SquareDistance(x[order[n - 2]], x[order[0]]);
    low = low_gain >= high_gain;
    gain = std::max(low_gain, high_gain);
  }
  // The first of the elements that are equal to the lowest, or highest.
  size_t Take(const std::vector<double>& x) {
    auto at = order.begin();
    if (!low) {
      at = std::find_if(order.begin(), order.end(), [&](size_t i) { return x[i] == x[order.back()]; });
    }
    const size_t taken = *at;
    order.erase(at);
    return taken;
  }
};

// Gram and Schmidt, twice for accuracy; columns of no length become 0.
void Orthonormalize(std::vector<double>& m, int rows, int rank) {
  const auto dot = [&](int a, int b) {
    double sum = 0.0;
    for (int i = 0; i < rows; ++i) sum += m[i * rank + a] * m[i * rank + b];
    return sum;
  };
  for (int j = 0; j < rank; ++j) {
    const double before = std::sqrt(dot(j, j));
    for (int k = 0; k < 2 * j; ++k) {
      const double along = dot(k % j, j);
      for (int i = 0; i < rows; ++i) m[i * rank + j] -= along * m[i * rank + k % j];
    }
    const double length = std::sqrt(dot(j, j));
    const double factor = length > 1e-10 * before ? 1.0 / length : 0.0;
    for (int i = 0; i < rows; ++i) m[i * rank + j] *= factor;
  }
}

// [rows, cols] times [cols, rank], or its transpose times [rows, rank].
std::vector<double> Product(const std::vector<double>& matrix, int rows, int cols, bool transposed,
                            const std::vector<double>& factor, int rank) {
  std::vector<double> result(static_cast<size_t>(transposed ? cols : rows) * rank);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      const double x = matrix[static_cast<size_t>(i) * cols + j];
      double* to = result.data() + static_cast<size_t>(transposed ? j : i) * rank;
      const double* from = factor.data() + static_cast<size_t>(transposed ? i : j) * rank;
      for (int r = 0; r < rank; ++r) to[r] += x * from[r];
    }
  }
  return result;
}

// The low-rank terms of all heads of a unit, each of which goes on from where it was.
class LowRankTerm {
 public:
  LowRankTerm(const GearMethod& method, const TensorShape& shape)
      : method_(method), shape_(shape), head_size_(static_cast<size_t>(shape.tokens) * shape.head_dim) {
    for (int h = 0; h < shape.heads; ++h) {
      std::vector<double>& start = starts_.emplace_back(static_cast<size_t>(shape.head_dim) * method.rank);
      for (size_t i = 0; i < start.size(); ++i) {
        start[i] = method.start.empty() ? SampleUniform(kStartStream, h * start.size() + i) : method.start[i];
      }
    }
    last_ = starts_;
  }

  // L of what is left of X.
  std::vector<double> Fit(const std::vector<double>& left) {
    std::vector<double> low_rank(left.size());
    for (int h = 0; h < shape_.heads; ++h) {
      StartLostColumns(starts_[h], last_[h]);
      const auto begin = left.begin() + static_cast<ptrdiff_t>(h * head_size_);
      Factors factors = PowerIteration({begin, begin + static_cast<ptrdiff_t>(head_size_)}, shape_.tokens,
                                       shape_.head_dim, method_.rank, method_.sweeps, last_[h]);
      last_[h] = factors.b;
      if (method_.int8_factors) factors = RoundFactors(factors, method_.rank);
      const std::vector<double> product = Multiply(factors, shape_.tokens, shape_.head_dim, method_.rank);
      std::copy(product.begin(), product.end(), low_rank.begin() + static_cast<ptrdiff_t>(h * head_size_));
    }
    return low_rank;
  }

 private:
  // Columns of no length cannot go on.
  void StartLostColumns(const std::vector<double>& start, std::vector<double>& last) const {
    const auto rank = static_cast<size_t>(method_.rank);
    for (size_t j = 0; j < rank; ++j) {
      bool lost = true;
      for (size_t i = j; i < last.size(); i += rank) lost = lost && last[i] == 0.0;
      for (size_t i = j; lost && i < last.size(); i += rank) last[i] = start[i];
    }
  }

  const GearMethod& method_;
  const TensorShape& shape_;
  const size_t head_size_;
  std::vector<std::vector<double>> starts_, last_;  // [heads][head_dim, rank]
};

// D of all elements but the outliers, which keep what is left of them.
std::vector<double> QuantizeAll(const GearMethod& method, const std::vector<Group>& groups,
                                const std::vector<bool>& outlier, const std::vector<double>& rest) {
  std::vector<double> coded = rest;
  for (const Group& group : groups) {
    std::vector<double> elements;
    std::vector<bool> excluded;
    for (const size_t i : group) {
      elements.push_back(rest[i]);
      excluded.push_back(outlier[i]);
    }
    const QuantizedGroup quantized = QuantizeGroup(elements, method.bits, excluded);
    for (size_t j = 0; j < group.size(); ++j) {
      if (!excluded[j]) coded[group[j]] = quantized.Value(j);
    }
  }
  return coded;
}

std::vector<double> GroupMeans(const std::vector<Group>& groups, const std::vector<double>& x) {
  std::vector<double> means(x.size());
  for (const Group& group : groups) {
    double sum = 0.0;
    for (const size_t i : group) sum += x[i];
    for (const size_t i : group) means[i] = sum / static_cast<double>(group.size());
  }
  return means;
}

std::vector<double> Difference(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

GearResult FitUnit(const GearMethod& method, Part part, const TensorShape& shape,
                   const std::vector<double>& x) {
  GearResult result{x, std::vector<double>(x.size()), std::vector<bool>(x.size())};
  const std::vector<Group> groups = MakeGroups(part, method.backbone, method.group, shape);
  LowRankTerm term(method, shape);
  if (method.rank > 0 && method.rounds > 0) result.low_rank = term.Fit(Difference(x, GroupMeans(groups, x)));
  const std::vector<double> first_rest = Difference(x, result.low_rank);
  if (method.sparsity > 0.0) {
    result.outlier = method.rule == OutlierRule::kPerVector
                         ? VectorOutliers(part, shape, first_rest, method.sparsity)
                         : BudgetOutliers(groups, first_rest, std::lround(method.sparsity * x.size()));
  }
  for (int round = 1;; ++round) {
    result.coded = QuantizeAll(method, groups, result.outlier, Difference(x, result.low_rank));
    if (method.rank == 0) break;
    std::vector<double> left = Difference(x, result.coded);
    for (size_t i = 0; i < x.size(); ++i) {
      if (result.outlier[i]) left[i] = result.low_rank[i];
    }
    result.low_rank = term.Fit(left);
    for (size_t i = 0; i < x.size(); ++i) {
      if (result.outlier[i] && method.rounds > 0) result.coded[i] = x[i] - result.low_rank[i];
    }
    if (round >= method.rounds) break;
  }
  return result;
}

double SquaredError(const GearResult& result, const std::vector<double>& x) {
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!result.outlier[i]) sum += SquareDistance(x[i], result.coded[i] + result.low_rank[i]);
  }
  return sum;
}

GearResult ApproximateUnit(const GearMethod& method, Part part, const TensorShape& shape,
                           const std::vector<double>& x) {
  GearResult in_turns = FitUnit(method, part, shape, x);
  if (!method.both_ways) return in_turns;
  GearMethod published = method;
  published.rounds = 0;
  GearResult once = FitUnit(published, part, shape, x);
  return SquaredError(once, x) < SquaredError(in_turns, x) ? once : in_turns;
}

}  // namespace

std::vector<double> GearResult::Sum() const {
  std::vector<double> sum(coded);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += low_rank[i];
  return sum;
}

QuantizedGroup QuantizeGroup(const std::vector<double>& x, int bits, const std::vector<bool>& excluded) {
  double low = INFINITY;
  double high = -INFINITY;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!excluded.empty() && excluded[i]) continue;
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  if (low > high) low = high = 0.0;
  const double levels = (1 << bits) - 1;
  QuantizedGroup group{std::vector<int>(x.size()), RoundToHalf((high - low) / levels), RoundToHalf(low)};
  for (size_t i = 0; i < x.size() && group.scale > 0.0; ++i) {
    group.codes[i] =
        static_cast<int>(std::clamp(std::nearbyint((x[i] - group.zero) / group.scale), 0.0, levels));
  }
  return group;
}

std::vector<Group> MakeGroups(Part part, Backbone backbone, int group, const TensorShape& shape) {
  std::vector<Group> groups;
  const int width = shape.heads * shape.head_dim;
  if (backbone == Backbone::kPerToken) {
    AddTokenGroups(shape, group, width, groups);
  } else if (part == Part::kKeys) {
    AddChannelGroups(shape, backbone == Backbone::kKcvt ? shape.tokens : group, groups);
  } else if (backbone == Backbone::kKcvt) {
    AddTokenGroups(shape, width, width, groups);
  } else {
    AddTokenGroups(shape, group, shape.head_dim, groups);
  }
  return groups;
}

std::vector<bool> VectorOutliers(Part part, const TensorShape& shape, const std::vector<double>& x,
                                 double s) {
  std::vector<bool> outlier(x.size());
  for (Group& vector : MakeGroups(part, Backbone::kKcvt, 0, shape)) {
    const size_t count =
        std::min(static_cast<size_t>(s * static_cast<double>(vector.size()) / 2.0 + 1e-9), vector.size() / 2);
    std::stable_sort(vector.begin(), vector.end(), [&](size_t a, size_t b) { return x[a] < x[b]; });
    for (size_t i = 0; i < count; ++i) outlier[vector[i]] = true;
    std::stable_sort(vector.begin(), vector.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
    for (size_t i = 0; i < count; ++i) outlier[vector[i]] = true;
  }
  return outlier;
}

std::vector<bool> BudgetOutliers(const std::vector<Group>& groups, const std::vector<double>& x,
                                 size_t budget) {
  std::vector<bool> outlier(x.size());
  std::vector<Sorted> sorted;
  for (const Group& group : groups) {
    sorted.push_back({group});
    std::stable_sort(sorted.back().order.begin(), sorted.back().order.end(),
                     [&](size_t a, size_t b) { return x[a] < x[b]; });
    sorted.back().Update(x);
  }
  for (size_t i = 0; i < budget; ++i) {
    Sorted& best = *std::max_element(sorted.begin(), sorted.end(),
                                     [](const Sorted& a, const Sorted& b) { return a.gain < b.gain; });
    if (best.gain < 0.0) break;
    outlier[best.Take(x)] = true;
    best.Update(x);
  }
  return outlier;
}

Factors PowerIteration(const std::vector<double>& matrix, int rows, int cols, int rank, int sweeps,
                       std::vector<double> start) {
  THRONG_CHECK(rank >= 1 && sweeps >= 1 && start.size() == static_cast<size_t>(cols) * rank);
  Factors factors{{}, std::move(start)};
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    const bool last = sweep == sweeps - 1;
    if (last) Orthonormalize(factors.b, cols, rank);
    factors.a = Product(matrix, rows, cols, false, factors.b, rank);
    if (last) Orthonormalize(factors.a, rows, rank);
    factors.b = Product(matrix, rows, cols, true, factors.a, rank);
  }
  return factors;
}

Factors RoundFactors(const Factors& factors, int rank) {
  Factors rounded = factors;
  for (std::vector<double>* matrix : {&rounded.a, &rounded.b}) {
    for (size_t j = 0; j < static_cast<size_t>(rank); ++j) {
      double largest = 0.0;
      for (size_t i = j; i < matrix->size(); i += rank) largest = std::max(largest, std::abs((*matrix)[i]));
      if (largest == 0.0) continue;
      const double step = largest / 127.0;
      for (size_t i = j; i < matrix->size(); i += rank) {
        (*matrix)[i] = step * std::nearbyint((*matrix)[i] / step);
      }
    }
  }
  return rounded;
}

std::vector<double> Multiply(const Factors& factors, int rows, int cols, int rank) {
  std::vector<double> product(static_cast<size_t>(rows) * cols);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      for (int r = 0; r < rank; ++r) {
        product[static_cast<size_t>(i) * cols + j] += factors.a[i * rank + r] * factors.b[j * rank + r];
      }
    }
  }
  return product;
}

GearResult ApproximateGear(const GearMethod& method, Part part, const TensorShape& shape,
                           const std::vector<double>& x) {
  THRONG_CHECK(x.size() == shape.Size());
  const int unit = method.unit == 0 ? shape.tokens : method.unit;
  if (unit >= shape.tokens) return ApproximateUnit(method, part, shape, x);
  GearResult result{x, x, std::vector<bool>(x.size())};
  for (int first = 0; first < shape.tokens; first += unit) {
    const TensorShape piece{shape.heads, std::min(unit, shape.tokens - first), shape.head_dim};
    const size_t length = static_cast<size_t>(piece.tokens) * piece.head_dim;
    std::vector<double> rows(piece.Size());
    for (int h = 0; h < shape.heads; ++h) {
      std::copy_n(x.begin() + At(shape, h, first, 0), length, rows.begin() + h * length);
    }
    const GearResult done = ApproximateUnit(method, part, piece, rows);
    for (int h = 0; h < shape.heads; ++h) {
      const size_t to = At(shape, h, first, 0);
      std::copy_n(done.coded.begin() + h * length, length, result.coded.begin() + to);
      std::copy_n(done.low_rank.begin() + h * length, length, result.low_rank.begin() + to);
      std::copy_n(done.outlier.begin() + h * length, length, result.outlier.begin() + to);
    }
  }
  return result;
}

}  // namespace throng::kv
