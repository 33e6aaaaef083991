// A layer: what it makes of the residual stream.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/norm.h"

namespace throng::model {

class Layer {
 public:
  virtual ~Layer() = default;
  // last: this layer fills a cache, and none after it does. Then KeepLast has run at the end: only the last
  // rows go on.
  virtual void Run(Step& step, bool last) const = 0;
  // Calls visit for each block, with the norm of its input.
  virtual void ForEachBlock(const std::function<void(Block&, const Norm& input)>& visit) = 0;
  // All matrices that a token reads, in a fixed order: those of the blocks.
  virtual void ForEachMatrix(const std::function<void(Matrix&)>& visit);
};

// One of the blocks that read the same rows.
struct Branch {
  std::unique_ptr<Block> block;
  Norm norm{};       // of the input, after that of the residual
  Norm post_norm{};  // of the result
};

// stream += scale * post_norm(sum over branches of branch.post_norm(block(branch.norm(norm(stream)))))
struct Residual {
  Norm norm;
  std::vector<Branch> branches;
  Norm post_norm{};
  float scale = 1.0f;
};

// The layer of most models: residuals one after the other, then stream *= scale.
class ResidualLayer final : public Layer {
 public:
  explicit ResidualLayer(std::vector<Residual> residuals, float scale = 1.0f);

  const std::vector<Residual>& Residuals() const { return residuals_; }
  float StreamScale() const { return scale_; }

  void Run(Step& step, bool last) const override;
  void ForEachBlock(const std::function<void(Block&, const Norm&)>& visit) override;

 private:
  std::vector<Residual> residuals_;
  float scale_;
  size_t last_mixing_;  // index of the last residual that mixes tokens
};

}  // namespace throng::model
