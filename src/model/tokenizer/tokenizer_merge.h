// Merging for both kinds of BPE: the best pair first, the leftmost of equals, in O(n log n).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace throng::model {

// How two neighbours merge into one symbol; a smaller rank goes first.
struct MergeRule {
  static constexpr uint32_t kNever = UINT32_MAX;
  uint32_t rank = kNever;
  int32_t symbol = -1;
};

struct MergeSymbol {
  uint32_t begin;  // offset in the text
  uint32_t length;
  int32_t symbol;  // number of the symbol, as the rules count
};

// Reused from word to word: its memory only grows.
class Merger {
 public:
  void Clear() { nodes_.clear(); }
  [[gnu::always_inline]] void Add(MergeSymbol symbol) {  // for every byte of a text
    const uint32_t i = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({symbol, i == 0 ? kEnd : i - 1, i + 1, {}});
  }

  // find(left, right) gives the MergeRule of two neighbours.
  template <typename Find>
  void Run(const Find& find) {
    if (nodes_.empty()) return;
    nodes_.back().next = kEnd;
    heap_.clear();
    for (uint32_t i = 0; i + 1 < nodes_.size(); ++i) SetRule(i, find);
    // A heap in one step: pushes one by one would cost a logarithm each.
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      const uint64_t best = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
      const uint32_t i = static_cast<uint32_t>(best);
      // An entry is stale when its left node is gone or has another neighbour by now: then the rank differs.
      if (nodes_[i].rule.rank != best >> 32) continue;
      Join(i, find);
    }
  }

  template <typename Visit>
  void ForEach(const Visit& visit) const {
    if (nodes_.empty()) return;
    for (uint32_t i = 0; i != kEnd; i = nodes_[i].next) visit(nodes_[i].value);
  }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;
  struct Node {
    MergeSymbol value;
    uint32_t prev, next;
    MergeRule rule;  // for this node and the next
  };

  // Looks up the rule of node i and its next, and appends it to the heap's storage.
  template <typename Find>
  bool SetRule(uint32_t i, const Find& find) {
    Node& node = nodes_[i];
    node.rule = {};
    if (node.next == kEnd) return false;
    node.rule = find(node.value, nodes_[node.next].value);
    if (node.rule.rank == MergeRule::kNever) return false;
    heap_.push_back(uint64_t{node.rule.rank} << 32 | i);
    return true;
  }

  template <typename Find>
  void Join(uint32_t i, const Find& find) {
    Node& left = nodes_[i];
    Node& right = nodes_[left.next];
    left.value.length += right.value.length;
    left.value.symbol = left.rule.symbol;
    right.rule = {};
    left.next = right.next;
    if (left.next != kEnd) nodes_[left.next].prev = i;
    for (const uint32_t changed : {left.prev, i}) {
      if (changed != kEnd && SetRule(changed, find)) {
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      }
    }
  }

  std::vector<Node> nodes_;
  std::vector<uint64_t> heap_;  // rank << 32 | index of the left node
};

}  // namespace throng::model
