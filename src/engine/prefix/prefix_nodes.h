// The blocks of a prefix cache, for its own files alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/prefix/prefix_cache.h"

namespace throng::engine {

struct PrefixCache::Node {
  Node* parent;  // null: the first block of a sequence
  int index;     // of the block in the sequence
  uint64_t hash;
  std::array<int32_t, kv::kPageTokens> tokens;
  kv::SealedBlock block = {};  // empty: not in memory
  int64_t slot = -1;           // slot on disk, if not negative; then block is empty
  int num_children = 0;
  int num_children_in_memory = 0;
  uint64_t last_use = 0;  // unique: the clock ticks with each use
  std::vector<NextUse::Use> uses{};
  uint64_t visit = 0;        // number of the last Learn that passed here
  uint64_t near_end = 0;     // number of the last sweep that found it in the reach of an end or a fork
  bool begun = false;        // whether a sequence has begun with this block as its last
  bool ends_prompt = false;  // whether it is the last one that a prompt equal to an earlier one can take
  size_t leaf_index = 0;     // index in its Leaves
  bool chosen = false;       // its Leaves chose it to leave soon
};

// Nodes that may leave. Ranks change all at once, with time and with what agents do, so they are not kept in
// order. When a node must leave, those with the smallest ranks are chosen: a few ahead if there are many.
class PrefixCache::Leaves {
 public:
  void Add(Node* node) {
    node->leaf_index = leaves_.size();
    leaves_.push_back(node);
  }

  void Remove(Node* node) {
    Keep(node);
    leaves_.back()->leaf_index = node->leaf_index;
    leaves_[node->leaf_index] = leaves_.back();
    leaves_.pop_back();
  }

  // The node was used: revokes an earlier choice.
  void Keep(Node* node) {
    if (!node->chosen) return;
    node->chosen = false;
    std::erase(chosen_, node);
  }

  // Returns null if no node may go.
  template <typename RankOf, typename MayGo>
  Node* First(const RankOf& rank_of, const MayGo& may_go) {
    while (true) {
      for (; !chosen_.empty(); Keep(chosen_.back())) {
        if (may_go(chosen_.back())) return chosen_.back();
      }
      ranked_.clear();
      for (Node* node : leaves_) {
        if (may_go(node)) ranked_.emplace_back(rank_of(node), node);
      }
      if (ranked_.empty()) return nullptr;
      const size_t count = 1 + ranked_.size() / kLeavesPerChoice;
      std::partial_sort(ranked_.begin(), ranked_.begin() + static_cast<ptrdiff_t>(count), ranked_.end());
      for (size_t i = count; i-- > 0;) {
        ranked_[i].second->chosen = true;
        chosen_.push_back(ranked_[i].second);
      }
    }
  }

 private:
  static constexpr size_t kLeavesPerChoice = 64;
  std::vector<Node*> leaves_;
  std::vector<Node*> chosen_;  // a subset of leaves_; the last one goes first
  std::vector<std::pair<Rank, Node*>> ranked_;
};

}  // namespace throng::engine
