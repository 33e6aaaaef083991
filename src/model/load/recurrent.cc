#include "model/load/recurrent.h"

#include "base/error.h"
#include "model/blocks/delta_net_block.h"
#include "model/blocks/mamba2_block.h"
#include "model/blocks/short_conv_block.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

size_t Size(int count) { return static_cast<size_t>(count); }

struct SsmSizes {
  int taps;   // of the convolution
  int inner;  // width of what heads give
  int state;
  int heads;
  int groups;

  int ConvChannels() const { return inner + 2 * groups * state; }
};

SsmSizes ReadSsm(const ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  SsmSizes sizes{};
  sizes.taps = keys.Count("ssm.conv_kernel", 64, 2);
  sizes.inner = keys.Count("ssm.inner_size", 1 << 20);
  sizes.state = keys.Count("ssm.state_size", 4096);
  sizes.heads = keys.Count("ssm.time_step_rank", 4096);
  sizes.groups = keys.Count("ssm.group_count", 4096);
  if (sizes.inner % sizes.heads != 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: ssm.inner_size is {}, which {} heads cannot share evenly",
                    keys.File().Name(), sizes.inner, sizes.heads);
  }
  if (sizes.heads % sizes.groups != 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} heads (ssm.time_step_rank) cannot share {} groups evenly",
                    keys.File().Name(), sizes.heads, sizes.groups);
  }
  return sizes;
}

CausalConv FindConv(const ModelBuilder& builder, int layer, const char* name, int taps, int channels) {
  const Tensors& tensors = builder.GetTensors();
  return {Size(taps), tensors.FindFloats(ModelBuilder::Name(layer, name), {taps, channels}),
          tensors.FindVectorOrNone(ModelBuilder::Name(layer, name, ".bias"), channels)};
}

}  // namespace

std::unique_ptr<Block> BuildShortConv(ModelBuilder& builder, int layer) {
  const Tensors& tensors = builder.GetTensors();
  const int dim = builder.Config().dim;
  const int taps = builder.Keys().Count("shortconv.l_cache", 64, 2);
  const Matrix in = tensors.FindMatrix(ModelBuilder::Name(layer, "shortconv.in_proj"), 3 * dim, dim);
  ShortConvBlock::Weights weights;
  weights.before = in.Rows(0, Size(dim));
  weights.after = in.Rows(Size(dim), Size(dim));
  weights.input = in.Rows(2 * Size(dim), Size(dim));
  weights.conv = FindConv(builder, layer, "shortconv.conv", taps, dim);
  weights.output = tensors.FindMatrix(ModelBuilder::Name(layer, "shortconv.out_proj"), dim, dim);
  const int state_layer = builder.AddRecurrentLayer(weights.conv.StateFloats());
  return std::make_unique<ShortConvBlock>(state_layer, std::move(weights));
}

std::unique_ptr<Block> BuildDeltaNet(ModelBuilder& builder, int layer, bool neighbours_share) {
  const Tensors& tensors = builder.GetTensors();
  const int dim = builder.Config().dim;
  const SsmSizes sizes = ReadSsm(builder);
  if (sizes.inner != sizes.heads * sizes.state) {
    throw MakeError(ErrorCode::kUnsupported, "{}: ssm.inner_size is {}; {} heads of size {} are computed",
                    builder.Keys().File().Name(), sizes.inner, sizes.heads, sizes.state);
  }
  const auto name = [&](const char* tensor) { return ModelBuilder::Name(layer, tensor); };
  DeltaNetConfig config{};
  config.num_key_heads = Size(sizes.groups);
  config.num_value_heads = Size(sizes.heads);
  config.head_dim = Size(sizes.state);
  config.neighbours_share = neighbours_share;
  config.norm_epsilon = builder.Config().norm_epsilon;
  DeltaNetBlock::Weights weights;
  weights.mixed = tensors.FindMatrix(name("attn_qkv"), sizes.ConvChannels(), dim);
  weights.gate = tensors.FindMatrix(name("attn_gate"), sizes.inner, dim);
  if (neighbours_share) {
    weights.beta = tensors.FindMatrix(name("ssm_ba"), 2 * sizes.heads, dim);
  } else {
    weights.beta = tensors.FindMatrix(name("ssm_beta"), sizes.heads, dim);
    weights.alpha = tensors.FindMatrix(name("ssm_alpha"), sizes.heads, dim);
  }
  weights.conv = FindConv(builder, layer, "ssm_conv1d", sizes.taps, sizes.ConvChannels());
  weights.alpha_bias = tensors.FindVector(ModelBuilder::Name(layer, "ssm_dt", ".bias"), sizes.heads);
  weights.rate = tensors.FindVector(ModelBuilder::Name(layer, "ssm_a", ""), sizes.heads);
  weights.norm = builder.FindNorm(ModelBuilder::Name(layer, "ssm_norm", ""), sizes.state);
  weights.output = tensors.FindMatrix(name("ssm_out"), dim, sizes.inner);
  config.state_layer = builder.AddRecurrentLayer(DeltaNetBlock::StateFloats(config, weights.conv));
  return std::make_unique<DeltaNetBlock>(config, std::move(weights));
}

std::unique_ptr<Block> BuildMamba2(ModelBuilder& builder, int layer) {
  const Tensors& tensors = builder.GetTensors();
  const int dim = builder.Config().dim;
  const SsmSizes sizes = ReadSsm(builder);
  Mamba2Config config{};
  config.num_heads = Size(sizes.heads);
  config.head_dim = Size(sizes.inner / sizes.heads);
  config.num_groups = Size(sizes.groups);
  config.state_size = Size(sizes.state);
  Mamba2Block::Weights weights;
  const Matrix in = tensors.FindMatrix(ModelBuilder::Name(layer, "ssm_in"),
                                       sizes.inner + sizes.ConvChannels() + sizes.heads, dim);
  weights.gate = in.Rows(0, Size(sizes.inner));
  weights.mixed = in.Rows(Size(sizes.inner), Size(sizes.ConvChannels()));
  weights.step = in.Rows(Size(sizes.inner + sizes.ConvChannels()), Size(sizes.heads));
  weights.conv = FindConv(builder, layer, "ssm_conv1d", sizes.taps, sizes.ConvChannels());
  weights.step_bias = tensors.FindVector(ModelBuilder::Name(layer, "ssm_dt", ".bias"), sizes.heads);
  weights.rate = tensors.FindFloats(ModelBuilder::Name(layer, "ssm_a", ""), {1, sizes.heads});
  weights.skip = tensors.FindFloats(ModelBuilder::Name(layer, "ssm_d", ""), {1, sizes.heads});
  if (const std::string name = ModelBuilder::Name(layer, "ssm_norm"); tensors.Has(name)) {
    const int size = sizes.inner / sizes.groups;
    const std::vector<float> all = tensors.FindFloats(name, {size, sizes.groups});
    for (int g = 0; g < sizes.groups; ++g) {
      weights.norms.push_back({NormKind::kRms,
                               {all.begin() + g * size, all.begin() + (g + 1) * size},
                               {},
                               builder.Config().norm_epsilon});
    }
  }
  weights.output = tensors.FindMatrix(ModelBuilder::Name(layer, "ssm_out"), dim, sizes.inner);
  config.state_layer = builder.AddRecurrentLayer(Mamba2Block::StateFloats(config, weights.conv));
  return std::make_unique<Mamba2Block>(config, std::move(weights));
}

}  // namespace throng::model
