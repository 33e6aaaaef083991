// A directed network: who reads what whom writes, as followers do.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace throng::sim {

using NodeId = uint32_t;

class Network {
 public:
  // follows[i]: the nodes that node i reads; repetitions and i itself are dropped. Throws kInvalid for a node
  // that is not there, and for a network of none.
  explicit Network(const std::vector<std::vector<NodeId>>& follows);

  NodeId NumNodes() const { return static_cast<NodeId>(ends_.size()); }
  // Ascending.
  std::span<const NodeId> Follows(NodeId node) const {
    const uint64_t begin = node == 0 ? 0 : ends_[node - 1];
    return {follows_.data() + begin, ends_[node] - begin};
  }
  // Ascending: all nodes that at most so many hops along follows lead to, `from` itself included.
  std::vector<NodeId> Within(NodeId from, int64_t hops) const;
  bool IsWithin(NodeId from, NodeId to, int64_t hops) const;

 private:
  std::vector<NodeId> follows_;  // of all nodes, one after the other
  std::vector<uint64_t> ends_;   // [nodes]
};

}  // namespace throng::sim
