#include "python/module/model.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "kv/cache/sequence_cache.h"
#include "model/config.h"

namespace throng::python {

namespace {

constexpr std::chrono::milliseconds kCheckInterval(100);
constexpr int kLogitsChunk = 256;  // tokens per forward pass: bounds its scratch memory

// Lets several threads share one transformer: the engine's forward passes and those of Logits take turns.
class TurnTaking final : public model::Transformer {
 public:
  explicit TurnTaking(std::unique_ptr<model::Transformer> inner) : inner_(std::move(inner)) {}
  const model::ModelConfig& Config() const override { return inner_->Config(); }
  Digest WeightsDigest() const override { return inner_->WeightsDigest(); }
  attention::Rotation KeyRotation(int layer) const override { return inner_->KeyRotation(layer); }
  std::shared_ptr<const attention::KeyBias> KeyBias() const override { return inner_->KeyBias(); }
  size_t BytesToRepack() const override { return inner_->BytesToRepack(); }
  void Repack(ThreadPool& pool) override {
    std::lock_guard lock(mutex_);
    inner_->Repack(pool);
  }
  std::string Device() const override { return inner_->Device(); }
  std::unique_ptr<kv::BlockMemory> MakeMemory(const kv::BlockLayout& layout, kv::SoftmaxKind softmax,
                                              size_t budget_bytes) override {
    return inner_->MakeMemory(layout, softmax, budget_bytes);
  }
  uint64_t FreeBytes() const override { return inner_->FreeBytes(); }
  void Forward(std::span<const model::BatchItem> items, ThreadPool& pool, float* logits) override {
    std::lock_guard lock(mutex_);
    inner_->Forward(items, pool, logits);
  }

 private:
  std::unique_ptr<model::Transformer> inner_;
  std::mutex mutex_;
};

// The results of one Generate. The engine's callbacks keep it alive.
struct Batch {
  explicit Batch(size_t size) : results(size), left(size) {}

  std::mutex mutex;
  std::condition_variable all_done;
  std::vector<engine::EngineResult> results;  // guarded by mutex
  size_t left;                                // guarded by mutex

  void Set(size_t i, engine::EngineResult result) {
    std::lock_guard lock(mutex);
    results[i] = std::move(result);
    if (--left == 0) all_done.notify_all();
  }
  bool Wait() {
    std::unique_lock lock(mutex);
    return all_done.wait_for(lock, kCheckInterval, [&] { return left == 0; });
  }
};

std::shared_ptr<engine::LocalModel> MakeLocalModel(const engine::LocalOptions& options) {
  engine::LoadedModel loaded = engine::LoadModel(options.model, options.repack, options.kv_budget_bytes,
                                                 options.chat_template, options.max_context, options.device);
  loaded.transformer = std::make_unique<TurnTaking>(std::move(loaded.transformer));
  return std::make_shared<engine::LocalModel>(options, std::move(loaded));
}

}  // namespace

Model::Model(const engine::LocalOptions& options) : model_(MakeLocalModel(options)) {}

Model::~Model() {
  if (!IsForked()) return;
  // Their destructors would wait for threads that do not exist here.
  new std::shared_ptr<engine::LocalModel>(std::move(model_));
  logits_threads_.release();
  logits_pool_.release();
}

int Model::VocabSize() const { return Local()->Config().vocab_size; }

std::vector<engine::EngineResult> Model::Generate(std::vector<engine::TextRequest> texts,
                                                  const std::function<void()>& check) {
  std::vector<engine::EngineRequest> requests;
  for (engine::TextRequest& text : texts) requests.push_back(Local()->MakeRequest(std::move(text)));
  for (size_t i = 0; i < requests.size(); ++i) {
    llm::Sampling& sampling = requests[i].sampling;
    sampling.seed = CounterRng(sampling.seed, 0, 0, static_cast<uint32_t>(i)).At(0);  // equal prompts differ
  }
  return Await(std::move(requests), check);
}

std::vector<engine::EngineResult> Model::Embed(const std::vector<std::string>& texts,
                                               const std::function<void()>& check) {
  std::vector<engine::EngineRequest> requests;
  for (const std::string& text : texts) requests.push_back(Local()->MakeEmbedding(text));
  return Await(std::move(requests), check);
}

std::vector<engine::EngineResult> Model::Await(std::vector<engine::EngineRequest> requests,
                                               const std::function<void()>& check) {
  const auto batch = std::make_shared<Batch>(requests.size());
  std::vector<uint64_t> ids;
  try {
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].on_done = [batch, i](engine::EngineResult result) { batch->Set(i, std::move(result)); };
      ids.push_back(model_->Submit(std::move(requests[i])));
    }
    while (!requests.empty() && !batch->Wait()) check();
  } catch (...) {
    for (const uint64_t id : ids) model_->Cancel(id);
    throw;
  }
  for (const engine::EngineResult& result : batch->results) {
    if (result.error) throw *result.error;
  }
  return std::move(batch->results);
}

void Model::CheckTokens(std::span<const int32_t> tokens, int num_rows) const {
  const int context = Local()->Config().context_length;
  if (tokens.empty() || tokens.size() > static_cast<size_t>(context)) {
    throw MakeError(ErrorCode::kInvalid, "logits: {} tokens; allowed are 1 to {}, the model's context",
                    tokens.size(), context);
  }
  for (const int32_t token : tokens) {
    if (token >= 0 && token < VocabSize()) continue;
    throw MakeError(ErrorCode::kInvalid, "logits: token {} is not one of the model's 0 to {}", token,
                    VocabSize() - 1);
  }
  if (num_rows < 1 || static_cast<size_t>(num_rows) > tokens.size()) {
    throw MakeError(ErrorCode::kInvalid, "logits: the last {} of {} tokens; allowed are 1 to {}", num_rows,
                    tokens.size(), tokens.size());
  }
}

void Model::Logits(std::span<const int32_t> tokens, int num_rows, float* logits) {
  CheckTokens(tokens, num_rows);
  std::lock_guard lock(logits_mutex_);
  model::Transformer& transformer = *model_->Loaded().transformer;
  const bool on_device = !transformer.Device().empty();
  if (logits_threads_ == nullptr) logits_threads_ = std::make_unique<ThreadPool>(model_->Options().threads);
  if (!on_device && logits_pool_ == nullptr) {
    // One sequence at a time, of a length that CheckTokens bounds, so no budget is needed.
    const kv::BlockPool& pool = model_->Blocks();
    logits_pool_ = std::make_unique<kv::BlockPool>(pool.Layout(), std::numeric_limits<size_t>::max() / 2,
                                                   pool.Softmax());
  }
  kv::SequenceCache cache(on_device ? model_->Blocks() : *logits_pool_);  // a device's memory is taken
  const int count = static_cast<int>(tokens.size());
  const int skip = count - num_rows;  // tokens before the first row requested
  for (int first = 0; first < count; first += kLogitsChunk) {
    const int n = std::min(kLogitsChunk, count - first);
    if (!cache.Reserve(n)) {
      throw MakeError(ErrorCode::kExhausted, "logits: the cache has no room for {} tokens", first + n);
    }
    const int rows = std::clamp(first + n - skip, 0, n);
    const model::BatchItem item{tokens.subspan(first, n), &cache, rows};
    float* const out = logits + static_cast<size_t>(std::max(0, first - skip)) * VocabSize();
    transformer.Forward({&item, 1}, *logits_threads_, out);
  }
}

Model::Lease::Lease(Model& model) : model_(model) {
  if (model_.in_run_.exchange(true)) {
    throw MakeError(ErrorCode::kInvalid, "the model is the backend of another run at this moment");
  }
}

}  // namespace throng::python
