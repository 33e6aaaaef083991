#include "kv/flashq/flashq_priority.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace throng::kv {

double FlashqPriority(std::span<const float> rows, int head_dim) {
  const size_t d = static_cast<size_t>(head_dim);
  THRONG_CHECK(!rows.empty() && rows.size() % d == 0);
  std::vector<float> low(rows.begin(), rows.begin() + head_dim);
  std::vector<float> high = low;
  for (size_t i = d; i < rows.size(); ++i) {
    low[i % d] = std::min(low[i % d], rows[i]);
    high[i % d] = std::max(high[i % d], rows[i]);
  }
  double sum = 0.0;
  double squares = 0.0;
  for (size_t c = 0; c < d; ++c) {
    const double gap = static_cast<double>(high[c]) - low[c];
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / head_dim;
  const double deviation = std::sqrt(std::max(0.0, squares / head_dim - mean * mean));
  const double gap = static_cast<double>(*std::max_element(high.begin(), high.end())) -
                     *std::min_element(low.begin(), low.end());
  return gap * deviation;
}

std::vector<int> FlashqHeadBits(std::span<const double> priorities) {
  std::vector<size_t> order(priorities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return priorities[a] < priorities[b]; });
  std::vector<int> bits(priorities.size(), 4);
  for (size_t i = 0; i < order.size() / 2; ++i) bits[order[i]] = 2;
  return bits;
}

}  // namespace throng::kv
