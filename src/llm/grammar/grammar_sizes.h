// What it takes to lay out the nodes of a grammar as positions of a Program.
#pragma once

#include <cstdint>
#include <vector>

#include "llm/grammar/grammar.h"

namespace throng::llm {

class GrammarSizes {
 public:
  // The grammar must outlive this.
  explicit GrammarSizes(const Grammar& grammar);

  // Whether the node matches the empty text.
  bool IsNullable(Grammar::Node node) const { return nullable_[node]; }
  // Whether the node is a body that is called, not copied: what is large and shared, or recursive.
  bool IsBody(Grammar::Node node) const { return is_body_[node]; }
  // Whether the node is used several times, but always as the last part of one other node: what follows it
  // there is the same, and it is laid out once.
  bool IsSharedTail(Grammar::Node node) const {
    return uses_[node] > 1 && !is_body_[node] && tail_of_[node] != node;
  }
  // Whether a repeat is copied, not counted.
  bool IsUnrolled(const Grammar::Item& repeat) const;

 private:
  void FindTails(const std::vector<Grammar::Node>& order);
  bool MatchesEmpty(Grammar::Node node) const;
  int64_t SizeOf(Grammar::Node node) const;
  static int64_t Copies(const Grammar::Item& repeat);

  const Grammar& grammar_;
  std::vector<bool> nullable_;  // by node, like those below
  std::vector<int64_t> size_;   // positions, estimated
  std::vector<uint32_t> uses_;
  std::vector<Grammar::Node> tail_of_;  // the node whose end is the end of this one wherever it is used
  std::vector<bool> is_body_;
};

}  // namespace throng::llm
