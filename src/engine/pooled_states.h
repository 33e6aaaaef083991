// The embedding of a text: the states of its tokens, pooled as the forward passes bring them.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "model/config.h"

namespace throng::engine {

// Sums in double precision and in the order of the tokens, so that chunks make no difference.
class PooledStates {
 public:
  // How many of the rows of the next pass of num_tokens tokens are needed; ends: whether the text ends there.
  static int RowsNeeded(model::Pooling pooling, int num_tokens, bool ends) {
    if (pooling == model::Pooling::kLast) return ends ? 1 : 0;
    return num_tokens;
  }

  // rows: [n, dim], the states of n tokens from number `first` on. Those seen before, which come again after
  // a preemption, are ignored.
  void Add(model::Pooling pooling, std::span<const float> rows, size_t dim, int first) {
    sum_.resize(dim);
    for (size_t begin = 0; begin < rows.size(); begin += dim, ++first) {
      if (first < next_) continue;
      next_ = first + 1;
      if (pooling == model::Pooling::kFirst && first > 0) continue;
      for (size_t i = 0; i < dim; ++i) sum_[i] += static_cast<double>(rows[begin + i]);
    }
  }

  // The direction of the sum, which is that of the mean: a vector of length 1, or of zeros.
  std::vector<float> Embedding() const {
    double squares = 0;
    for (const double x : sum_) squares += x * x;
    const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
    std::vector<float> embedding;
    for (const double x : sum_) embedding.push_back(static_cast<float>(x * scale));
    return embedding;
  }

 private:
  std::vector<double> sum_;
  int next_ = 0;  // the first token that was not seen yet
};

}  // namespace throng::engine
