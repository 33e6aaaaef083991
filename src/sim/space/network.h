// A directed network: each node reads what the nodes it follows write.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace throng::sim {

using NodeId = uint32_t;

class Network {
 public:
  // follows[i]: the nodes that node i reads; repetitions and i itself are dropped. Throws kInvalid for a node
  // that does not exist, and for an empty network.
  explicit Network(const std::vector<std::vector<NodeId>>& follows);

  NodeId NumNodes() const { return static_cast<NodeId>(ends_.size()); }
  // Ascending.
  std::span<const NodeId> Follows(NodeId node) const {
    const uint64_t begin = node == 0 ? 0 : ends_[node - 1];
    return {follows_.data() + begin, ends_[node] - begin};
  }
  // All nodes that at most `hops` follows lead to, `from` included; ascending.
  std::vector<NodeId> Within(NodeId from, int64_t hops) const;
  bool IsWithin(NodeId from, NodeId to, int64_t hops) const;

 private:
  std::vector<NodeId> follows_;  // of all nodes, one after the other
  std::vector<uint64_t> ends_;   // [nodes]
};

}  // namespace throng::sim
