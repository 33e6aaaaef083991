#include "sim/space/network.h"

#include <algorithm>

#include "base/error.h"

namespace throng::sim {

Network::Network(const std::vector<std::vector<NodeId>>& follows) {
  if (follows.empty() || follows.size() > INT32_MAX) {
    throw MakeError(ErrorCode::kInvalid, "network: {} nodes; it must have from 1 to 2^31 - 1",
                    follows.size());
  }
  ends_.reserve(follows.size());
  for (NodeId node = 0; node < follows.size(); ++node) {
    std::vector<NodeId> sorted = follows[node];
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    std::erase(sorted, node);
    if (!sorted.empty() && sorted.back() >= follows.size()) {
      throw MakeError(ErrorCode::kInvalid, "network: node {} follows node {}; there are {} nodes", node,
                      sorted.back(), follows.size());
    }
    follows_.insert(follows_.end(), sorted.begin(), sorted.end());
    ends_.push_back(follows_.size());
  }
}

std::vector<NodeId> Network::Within(NodeId from, int64_t hops) const {
  std::vector<NodeId> found = {from};
  size_t begin = 0;
  for (int64_t hop = 0; hop < hops && begin < found.size(); ++hop) {
    const size_t end = found.size();
    for (size_t i = begin; i < end; ++i) {
      const std::span<const NodeId> follows = Follows(found[i]);
      found.insert(found.end(), follows.begin(), follows.end());
    }
    // Keeps only the nodes that this hop met first.
    std::sort(found.begin() + static_cast<ptrdiff_t>(end), found.end());
    found.erase(std::unique(found.begin() + static_cast<ptrdiff_t>(end), found.end()), found.end());
    std::vector<NodeId> before(found.begin(), found.begin() + static_cast<ptrdiff_t>(end));
    std::sort(before.begin(), before.end());
    const auto known = [&](NodeId node) { return std::binary_search(before.begin(), before.end(), node); };
    found.erase(std::remove_if(found.begin() + static_cast<ptrdiff_t>(end), found.end(), known), found.end());
    begin = end;
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool Network::IsWithin(NodeId from, NodeId to, int64_t hops) const {
  if (from == to) return hops >= 0;
  if (hops <= 0) return false;
  const std::span<const NodeId> follows = Follows(from);
  if (std::binary_search(follows.begin(), follows.end(), to)) return true;
  if (hops == 1) return false;
  const std::vector<NodeId> within = Within(from, hops);
  return std::binary_search(within.begin(), within.end(), to);
}

}  // namespace throng::sim
