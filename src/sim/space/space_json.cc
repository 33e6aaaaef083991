#include "sim/space/space_json.h"

#include <nlohmann/json.hpp>

namespace throng::sim {

std::string SpaceJson(const Space& space, int unit) {
  using Json = nlohmann::ordered_json;
  if (space.GetMetric() != Metric::kHops) {
    return Json{{"width", space.Width()}, {"height", space.Height()}, {"unit", unit}}.dump();
  }
  const Network& network = space.GetNetwork();
  Json follows = Json::array();
  for (NodeId node = 0; node < network.NumNodes(); ++node) follows.push_back(network.Follows(node));
  return Json{{"follows", follows}}.dump();
}

}  // namespace throng::sim
