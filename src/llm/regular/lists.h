// Several lists of numbers in two arrays: for graphs, whose nodes have a list each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace throng::llm {

class Lists {
 public:
  // each(add) calls add(list, element) for all elements, in any order, twice the same. list: below `size`.
  template <typename Each>
  Lists(size_t size, const Each& each) : first_(size + 1) {
    each([&](uint32_t list, uint32_t) { ++first_[list + 1]; });
    for (size_t i = 0; i < size; ++i) first_[i + 1] += first_[i];
    elements_.resize(first_[size]);
    std::vector<uint32_t> next(first_.begin(), first_.end() - 1);
    each([&](uint32_t list, uint32_t element) { elements_[next[list]++] = element; });
  }
  std::span<const uint32_t> operator[](uint32_t list) const {
    return std::span(elements_).subspan(first_[list], first_[list + 1] - first_[list]);
  }

 private:
  std::vector<uint32_t> first_;  // of each list in elements_
  std::vector<uint32_t> elements_;
};

}  // namespace throng::llm
