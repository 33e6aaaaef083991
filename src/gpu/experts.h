// A mixture of experts on a device: the processor chooses, from scores that are copied to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gpu/blocks.h"
#include "model/blocks/experts_block.h"

namespace throng::gpu {

class DeviceExperts {
 public:
  // Throws kUnsupported, naming `where`, for what is not computed here.
  DeviceExperts(device::Device& device, const model::ExpertsBlock& block, const std::string& where);
  // in, out: [rows, dim]
  void Run(Pass& pass, const float* in, float* out) const;

 private:
  // What the rows of a pass take from experts: slots, one for each row and chosen expert, by expert.
  struct Slots {
    std::vector<int32_t> rows;    // [slots]: which each reads
    std::vector<int> first;       // [experts + 1]: of each expert's slots
    std::vector<int32_t> places;  // [rows, chosen]: slots, the best expert's first
    std::vector<float> weights;   // the same
  };

  Slots Choose(Pass& pass, const float* in) const;
  DeviceMatrix GateOf(int expert) const;
  DeviceMatrix UpOf(int expert) const;

  const model::RouterConfig router_;
  const model::ExpertsBlock::Options options_;
  const std::vector<float> selection_bias_;
  int dim_, ffn_dim_;
  DeviceMatrix scores_, gate_, up_, down_;  // of all experts, as in ExpertsWeights
  Floats router_bias_, gate_bias_, up_bias_, down_bias_;
};

}  // namespace throng::gpu
