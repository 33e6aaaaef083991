#include "kv/kvarn/kvarn_balance.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/kvarn/kvarn_balance.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/eight_sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sums[r] = sum over j of rows[r, j] * weights[j], and the same of squares. columns: a multiple of 8.
void SumRows(const double* rows, const double* weights, const double* square_weights, size_t columns,
             double* sums, double* square_sums) {
  const EightSums::DD dd;
  EightSums sum[kBalanceRows], square_sum[kBalanceRows];
  HWY_UNROLL(4)
  for (size_t r = 0; r < kBalanceRows; ++r) {
    sum[r].Clear();
    square_sum[r].Clear();
  }
  for (size_t j = 0; j < columns; j += 8) {
    HWY_UNROLL(4)
    for (size_t v = 0; v < EightSums::kVecs; ++v) {
      const size_t at = j + v * hn::Lanes(dd);
      const auto weight = hn::LoadU(dd, weights + at), square_weight = hn::LoadU(dd, square_weights + at);
      HWY_UNROLL(4)
      for (size_t r = 0; r < kBalanceRows; ++r) {
        const auto x = hn::LoadU(dd, rows + r * columns + at);
        sum[r].sum[v] = hn::Add(sum[r].sum[v], hn::Mul(x, weight));
        square_sum[r].sum[v] = hn::Add(square_sum[r].sum[v], hn::Mul(hn::Mul(x, x), square_weight));
      }
    }
  }
  HWY_UNROLL(4)
  for (size_t r = 0; r < kBalanceRows; ++r) {
    sums[r] = sum[r].Total();
    square_sums[r] = square_sum[r].Total();
  }
}

// sums[j] += rows[r, j] * weights[r] for each row in turn, and the same of squares.
void AddRows(const double* rows, const double* weights, const double* square_weights, size_t columns,
             double* sums, double* square_sums) {
  const EightSums::DD dd;
  for (size_t j = 0; j < columns; j += hn::Lanes(dd)) {
    auto sum = hn::LoadU(dd, sums + j), square_sum = hn::LoadU(dd, square_sums + j);
    HWY_UNROLL(4)
    for (size_t r = 0; r < kBalanceRows; ++r) {
      const auto x = hn::LoadU(dd, rows + r * columns + j);
      sum = hn::Add(sum, hn::Mul(x, hn::Set(dd, weights[r])));
      square_sum = hn::Add(square_sum, hn::Mul(hn::Mul(x, x), hn::Set(dd, square_weights[r])));
    }
    hn::StoreU(sum, dd, sums + j);
    hn::StoreU(square_sum, dd, square_sums + j);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(SumRows);
HWY_EXPORT(AddRows);

// Bounds of a deviation, and of a factor: as published, e^-0.3 and e^10.
constexpr double kLeastDeviation = 1e-3, kMostDeviation = 1e3;
constexpr double kLeastFactor = 0.7408182206817179, kMostFactor = 22026.465794806718;

// Of some numbers, from their sums. They are counted once for all: divisions take most of the time here.
class Deviation {
 public:
  explicit Deviation(size_t count)
      : share_(1.0 / static_cast<double>(count)), share_of_rest_(1.0 / (static_cast<double>(count) - 1.0)) {}
  double operator()(double sum, double square_sum) const {
    return std::sqrt(std::max((square_sum - sum * sum * share_) * share_of_rest_, 0.0));
  }

 private:
  const double share_, share_of_rest_;
};

double Divided(double factor, double deviation) {
  return std::clamp(factor * std::clamp(deviation, kLeastDeviation, kMostDeviation), kLeastFactor,
                    kMostFactor);
}

double Spread(const std::vector<double>& deviations) {
  const auto [least, most] = std::minmax_element(deviations.begin(), deviations.end());
  return *most / std::max(*least, 1e-8);
}

// A matrix divided by both sides' factors, of which only sums are needed.
class Balanced {
 public:
  Balanced(const std::vector<double>& matrix, size_t rows, size_t columns)
      : matrix_(matrix),
        of_rows_(rows),
        of_columns_(columns),
        row_factors_(rows, 1.0),
        row_weights_(rows, 1.0),
        column_factors_(columns, 1.0) {
    Measure(/*divide=*/false);
  }

  // Divides columns, then rows, by their deviations.
  void Turn() {
    for (size_t j = 0; j < column_factors_.size(); ++j) {
      column_factors_[j] = Divided(column_factors_[j], of_columns_[j]);
    }
    Measure(/*divide=*/true);
  }

  double TotalSpread() const { return Spread(of_rows_) + Spread(of_columns_); }
  const std::vector<double>& column_factors() const { return column_factors_; }

 private:
  // Goes over the matrix once: when a few rows are summed, their factors are known, with which they are
  // added to the columns' sums. divide: the rows by their deviations.
  void Measure(bool divide) {
    const size_t rows = row_factors_.size(), columns = column_factors_.size();
    std::vector<double> weights(columns), square_weights(columns), sums(columns), square_sums(columns);
    for (size_t j = 0; j < columns; ++j) {
      weights[j] = 1.0 / column_factors_[j];
      square_weights[j] = weights[j] * weights[j];
    }
    const Deviation of_row(columns), of_column(rows);
    for (size_t first = 0; first < rows; first += kBalanceRows) {
      const double* some = matrix_.data() + first * columns;
      double sum[kBalanceRows], square_sum[kBalanceRows], square_weight[kBalanceRows];
      HWY_DYNAMIC_DISPATCH(SumRows)(some, weights.data(), square_weights.data(), columns, sum, square_sum);
      double* weight = row_weights_.data() + first;
      for (size_t r = 0; r < kBalanceRows; ++r) {
        const double deviation = of_row(sum[r], square_sum[r]);
        if (divide) {
          double& factor = row_factors_[first + r];
          factor = Divided(factor, deviation * weight[r]);
          weight[r] = 1.0 / factor;
        }
        of_rows_[first + r] = deviation * weight[r];
        square_weight[r] = weight[r] * weight[r];
      }
      HWY_DYNAMIC_DISPATCH(AddRows)(some, weight, square_weight, columns, sums.data(), square_sums.data());
    }
    for (size_t j = 0; j < columns; ++j) of_columns_[j] = of_column(sums[j], square_sums[j]) * weights[j];
  }

  const std::vector<double>& matrix_;
  std::vector<double> of_rows_, of_columns_;                        // deviations
  std::vector<double> row_factors_, row_weights_, column_factors_;  // weights: the inverse
};

}  // namespace

std::vector<double> BalanceColumns(const std::vector<double>& matrix, size_t rows, size_t columns) {
  Balanced balanced(matrix, rows, columns);
  double least = balanced.TotalSpread();
  std::vector<double> best = balanced.column_factors();
  for (int turn = 0; turn < kKvarnTurns; ++turn) {
    balanced.Turn();
    if (balanced.TotalSpread() > least) continue;
    least = balanced.TotalSpread();
    best = balanced.column_factors();
  }
  return best;
}

}  // namespace throng::kv
#endif  // HWY_ONCE
