#include "model/blocks/alt_up.h"

#include <algorithm>
#include <cmath>

#include "model/row_ops.h"

namespace throng::model {
namespace {

struct AltUpRows {
  Rows streams;      // [rows, streams, dim]
  Rows predictions;  // likewise
  Rows modalities;   // [rows, streams]
};

// Makes x as long as a vector of the given length; what is 0 stays.
void MakeAsLong(float* x, float length, size_t n) {
  const float own = Length(x, n);
  if (own > 0.0f) Scale(x, length / own, n);
}

// The product of a row of coefficients with a token's modalities.
float Coefficient(const float* coefficients, const float* modalities, size_t n) {
  float sum = 0.0f;
  for (size_t i = 0; i < n; ++i) sum += coefficients[i] * modalities[i];
  return sum;
}

}  // namespace

void AltUpSplit::Run(Step& step, bool) const {
  Buffers& buffers = step.GetBuffers();
  const size_t dim = buffers.stream.Width();
  const size_t num_streams = projections_.rows / dim + 1;
  Rows& streams = buffers.Of<AltUpRows>().streams;
  streams.Resize(step.NumRows(), num_streams * dim);
  std::vector<Product> products;
  for (size_t s = 1; s < num_streams; ++s) {
    products.push_back({projections_.Rows((s - 1) * dim, dim), streams[0] + s * dim, streams.Width()});
  }
  step.Multiply(buffers.stream, products);
  step.ForRows(streams.Width() / 2, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      std::copy_n(buffers.stream[r], dim, streams[r]);
      const float length = Length(streams[r], dim);
      for (size_t s = 1; s < num_streams; ++s) MakeAsLong(streams[r] + s * dim, length, dim);
    }
  });
}

void AltUpMerge::Run(Step& step, bool) const {
  Buffers& buffers = step.GetBuffers();
  AltUpRows& rows = buffers.Of<AltUpRows>();
  const size_t dim = buffers.stream.Width();
  const size_t num_streams = projections_.rows / dim + 1;
  Rows& projected = rows.predictions;
  for (size_t s = 1; s < num_streams; ++s) {
    const Product product{projections_.Rows((s - 1) * dim, dim), projected[0] + s * dim, projected.Width()};
    MatMul(rows.streams[0] + s * dim, step.NumRows(), dim, rows.streams.Width(), {&product, 1},
           buffers.matmul, step.Pool());
  }
  step.ForRows(projected.Width() / 2, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      float* mean = buffers.stream[r];
      std::copy_n(rows.streams[r], dim, mean);
      const float length = Length(mean, dim);
      for (size_t s = 1; s < num_streams; ++s) {
        MakeAsLong(projected[r] + s * dim, length, dim);
        AddTo(mean, projected[r] + s * dim, dim);
      }
      Scale(mean, 1.0f / static_cast<float>(num_streams), dim);
    }
  });
}

AltUpLayer::AltUpLayer(std::vector<std::unique_ptr<Layer>> layers, Weights weights)
    : layers_(std::move(layers)), weights_(std::move(weights)) {}

void AltUpLayer::ForEachBlock(const std::function<void(Block&, const Norm&)>& visit) {
  for (const auto& layer : layers_) layer->ForEachBlock(visit);
  visit(*weights_.input, no_norm_);
}

void AltUpLayer::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  Layer::ForEachMatrix(visit);
  visit(weights_.router);
}

// Those of the rows in the stream.
void AltUpLayer::FindModalities(Step& step) const {
  Buffers& buffers = step.GetBuffers();
  Rows& modalities = buffers.Of<AltUpRows>().modalities;
  modalities.Resize(step.NumRows(), NumStreams());
  const Product product{weights_.router, modalities[0], NumStreams()};
  step.Multiply(Normed(step, weights_.router_norm, buffers.stream, buffers.normed), {&product, 1});
  for (size_t r = 0; r < step.NumRows(); ++r) {
    for (size_t s = 0; s < NumStreams(); ++s) modalities[r][s] = std::tanh(modalities[r][s]);
  }
}

// Leaves the first prediction in the stream.
void AltUpLayer::Predict(Step& step) const {
  Buffers& buffers = step.GetBuffers();
  AltUpRows& rows = buffers.Of<AltUpRows>();
  const size_t dim = buffers.stream.Width();
  const size_t n = NumStreams();
  step.ForRows(dim / 8, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) std::copy_n(rows.streams[r], dim, buffers.stream[r]);
  });
  FindModalities(step);
  rows.predictions.Resize(step.NumRows(), n * dim);
  step.ForRows(n * n * dim / 8, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      const float* streams = rows.streams[r];
      std::copy_n(streams, n * dim, rows.predictions[r]);
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) {
          const float weight = Coefficient(weights_.predict.data() + (i * n + j) * n, rows.modalities[r], n);
          AddScaled(rows.predictions[r] + i * dim, streams + j * dim, weight, dim);
        }
      }
      std::copy_n(rows.predictions[r], dim, buffers.stream[r]);
    }
  });
}

void AltUpLayer::Correct(Step& step) const {
  Buffers& buffers = step.GetBuffers();
  AltUpRows& rows = buffers.Of<AltUpRows>();
  const size_t dim = buffers.stream.Width();
  const size_t n = NumStreams();
  FindModalities(step);
  step.ForRows(n * dim / 4, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      float* innovation = buffers.stream[r];
      AddScaled(innovation, rows.predictions[r], -1.0f, dim);
      std::copy_n(rows.predictions[r], n * dim, rows.streams[r]);
      for (size_t i = 0; i < n; ++i) {
        const float weight = 1.0f + Coefficient(weights_.correct.data() + i * n, rows.modalities[r], n);
        AddScaled(rows.streams[r] + i * dim, innovation, weight, dim);
      }
    }
  });
}

void AltUpLayer::AddInput(Step& step) const {
  Buffers& buffers = step.GetBuffers();
  Rows& streams = buffers.Of<AltUpRows>().streams;
  const size_t dim = buffers.stream.Width();
  step.ForRows(dim / 4, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      std::copy_n(streams[r], dim, buffers.stream[r]);
      MultiplyBy(buffers.stream[r], weights_.input_scale.data(), dim);
    }
  });
  buffers.added.Resize(step.NumRows(), dim);
  weights_.input->Finish(step, buffers.stream, buffers.added);
  step.ForRows(streams.Width() / 4, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      float* input = buffers.added[r];
      weights_.input_norm.Apply(input, dim, input);
      for (size_t s = 1; s < NumStreams(); ++s) AddTo(streams[r] + s * dim, input, dim);
    }
  });
}

void AltUpLayer::Run(Step& step, bool last) const {
  Predict(step);
  if (last) step.Carry(step.GetBuffers().Of<AltUpRows>().predictions);
  for (const auto& layer : layers_) {
    layer->Run(step, last && &layer == layers_.data());
    if (step.NumRows() == 0) return;
  }
  Correct(step);
  AddInput(step);
}

}  // namespace throng::model
