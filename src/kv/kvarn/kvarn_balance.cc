#include "kv/kvarn/kvarn_balance.h"

#include <algorithm>
#include <cmath>

#include "kv/gear/gear_encode_kernels.h"

namespace throng::kv {
namespace {

// Bounds of a deviation, and of a factor: as published, e^-0.3 and e^10.
constexpr double kLeastDeviation = 1e-3, kMostDeviation = 1e3;
constexpr double kLeastFactor = 0.7408182206817179, kMostFactor = 22026.465794806718;

// The matrix divided by both sides' factors, of which only sums are needed.
class Balanced {
 public:
  Balanced(const std::vector<double>& matrix, size_t rows, size_t columns)
      : matrix_(matrix), squares_(matrix.size()), rows_(rows), columns_(columns) {
    for (size_t i = 0; i < matrix.size(); ++i) squares_[i] = matrix[i] * matrix[i];
  }

  std::vector<double> ColumnDeviations(const std::vector<double>& row_factors,
                                       const std::vector<double>& column_factors) const {
    return Deviations(MultiplyGear, row_factors, column_factors);
  }
  std::vector<double> RowDeviations(const std::vector<double>& row_factors,
                                    const std::vector<double>& column_factors) const {
    return Deviations(MultiplyGearRows, column_factors, row_factors);
  }

 private:
  // Of sums over one side, of the other side's rows or columns: each of n numbers divided by factors.
  template <class Multiply>
  std::vector<double> Deviations(const Multiply& multiply, const std::vector<double>& summed,
                                 const std::vector<double>& kept) const {
    const auto n = static_cast<double>(summed.size());
    std::vector<double> once(summed.size()), twice(summed.size());
    for (size_t i = 0; i < summed.size(); ++i) {
      once[i] = 1.0 / summed[i];
      twice[i] = once[i] * once[i];
    }
    std::vector<double> sums(kept.size()), square_sums(kept.size());
    multiply(matrix_.data(), rows_, columns_, once.data(), 1, sums.data());
    multiply(squares_.data(), rows_, columns_, twice.data(), 1, square_sums.data());
    for (size_t i = 0; i < kept.size(); ++i) {
      const double variance = (square_sums[i] - sums[i] * sums[i] / n) / (n - 1.0);
      sums[i] = std::sqrt(std::max(variance, 0.0)) / kept[i];
    }
    return sums;
  }

  const std::vector<double>& matrix_;
  std::vector<double> squares_;
  const size_t rows_, columns_;
};

void Divide(const std::vector<double>& deviations, std::vector<double>& factors) {
  for (size_t i = 0; i < factors.size(); ++i) {
    const double by = std::clamp(deviations[i], kLeastDeviation, kMostDeviation);
    factors[i] = std::clamp(factors[i] * by, kLeastFactor, kMostFactor);
  }
}

double Spread(const std::vector<double>& deviations) {
  const auto [least, most] = std::minmax_element(deviations.begin(), deviations.end());
  return *most / std::max(*least, 1e-8);
}

}  // namespace

std::vector<double> BalanceColumns(const std::vector<double>& matrix, size_t rows, size_t columns) {
  const Balanced balanced(matrix, rows, columns);
  std::vector<double> row_factors(rows, 1.0), column_factors(columns, 1.0);
  std::vector<double> of_columns = balanced.ColumnDeviations(row_factors, column_factors);
  double least = Spread(of_columns) + Spread(balanced.RowDeviations(row_factors, column_factors));
  std::vector<double> best = column_factors;
  for (int turn = 0; turn < kKvarnTurns; ++turn) {
    Divide(of_columns, column_factors);
    const std::vector<double> of_rows = balanced.RowDeviations(row_factors, column_factors);
    const std::vector<double> before = row_factors;
    Divide(of_rows, row_factors);
    of_columns = balanced.ColumnDeviations(row_factors, column_factors);
    std::vector<double> rows_now = of_rows;
    for (size_t i = 0; i < rows; ++i) rows_now[i] *= before[i] / row_factors[i];
    const double spread = Spread(of_columns) + Spread(rows_now);
    if (spread > least) continue;
    least = spread;
    best = column_factors;
  }
  return best;
}

}  // namespace throng::kv
