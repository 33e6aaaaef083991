// The factors by which KVarN divides a page's columns.
#pragma once

#include <cstddef>
#include <vector>

namespace throng::kv {

inline constexpr int kKvarnTurns = 16;
inline constexpr size_t kBalanceRows = 4;  // taken at once

// matrix: [rows, columns]; rows: a multiple of kBalanceRows, columns of 8. The columns' factors after the
// turn that leaves the deviations of columns and rows most alike, all positive.
std::vector<double> BalanceColumns(const std::vector<double>& matrix, size_t rows, size_t columns);

}  // namespace throng::kv
