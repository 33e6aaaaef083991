// Rows of floats that a forward pass works on.
#pragma once

#include <cstddef>
#include <vector>

namespace throng::model {

// [rows, width]. Memory is kept from pass to pass.
class Rows {
 public:
  // Contents are undefined afterwards.
  void Resize(size_t rows, size_t width) {
    width_ = width;
    if (data_.size() < rows * width) data_.resize(rows * width);
  }
  size_t Width() const { return width_; }
  float* operator[](size_t row) { return data_.data() + row * width_; }
  const float* operator[](size_t row) const { return data_.data() + row * width_; }

 private:
  std::vector<float> data_;
  size_t width_ = 0;
};

}  // namespace throng::model
