#include "effects/server_embedder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "llm/backends/http_transfers.h"

namespace throng::effects {

namespace {

using Json = nlohmann::json;

constexpr size_t kMostAtOnce = 256;                      // texts of a request
constexpr double kPauses[] = {0.5, 1, 2, 4, 8, 16, 30};  // seconds
constexpr double kLongestPause = 60;                     // that a server may ask for
constexpr int kPollMs = 1000;
constexpr size_t kMostShown = 300;  // bytes of a refusal

bool MayBeBetterLater(const llm::HttpTransfer& transfer) {
  if (!transfer.HasReply()) return !transfer.too_long;
  return transfer.status == 408 || transfer.status == 429 || transfer.status >= 500;
}

// [texts][numbers]. Throws kBadAnswer.
std::vector<std::vector<float>> ReadEmbeddings(const Json& reply, size_t count) {
  std::vector<std::vector<float>> embeddings(count);
  try {
    for (const Json& item : reply.at("data")) {
      embeddings.at(item.at("index").get<size_t>()) = item.at("embedding").get<std::vector<float>>();
    }
  } catch (const std::exception&) {
    embeddings[0].clear();
  }
  if (std::any_of(embeddings.begin(), embeddings.end(), [](const auto& one) { return one.empty(); })) {
    throw MakeError(ErrorCode::kBadAnswer,
                    "its reply is not a list `data` of {} embeddings, each with an `index`", count);
  }
  return embeddings;
}

}  // namespace

ServerEmbedder::ServerEmbedder(const std::string& address) : options_(llm::HttpOptions::Parse(address)) {
  const Json reply = Ask({"a text"}, 1);
  numbers_ = ReadEmbeddings(reply, 1)[0].size();
  const auto model = reply.find("model");
  const bool says = model != reply.end() && model->is_string();
  identity_ =
      fmt::format("server: {}, {} numbers", says ? model->get<std::string>() : options_.model, numbers_);
}

std::vector<std::vector<float>> ServerEmbedder::Embed(const std::vector<std::string>& texts) {
  std::vector<std::vector<float>> embeddings;
  for (size_t begin = 0; begin < texts.size(); begin += kMostAtOnce) {
    const size_t end = std::min(begin + kMostAtOnce, texts.size());
    const std::vector<std::string> part(texts.begin() + static_cast<std::ptrdiff_t>(begin),
                                        texts.begin() + static_cast<std::ptrdiff_t>(end));
    for (std::vector<float>& embedding : ReadEmbeddings(Ask(part, std::size(kPauses) + 1), part.size())) {
      if (embedding.size() != numbers_) {
        throw MakeError(ErrorCode::kBadAnswer, "{}: an embedding of {} numbers; those before had {}",
                        options_.Address(), embedding.size(), numbers_);
      }
      embeddings.push_back(std::move(embedding));
    }
  }
  return embeddings;
}

Json ServerEmbedder::Ask(const std::vector<std::string>& texts, size_t attempts) const {
  Json asked = {{"input", texts}};
  if (!options_.model.empty()) asked["model"] = options_.model;
  llm::HttpTransfers transfers(1);
  for (size_t attempt = 1;; ++attempt) {
    llm::HttpTransfer transfer;
    transfer.url = options_.Address() + "/embeddings";
    transfer.body = asked.dump(-1, ' ', false, Json::error_handler_t::replace);
    transfer.api_key = options_.api_key;
    transfer.connect_timeout = options_.connect_timeout;
    transfer.timeout = options_.timeout;
    transfers.Start(transfer);
    while (transfers.Run().empty()) transfers.Poll(kPollMs);
    if (transfer.HasReply() && transfer.status == 200) {
      Json reply = Json::parse(transfer.reply, nullptr, false);
      if (reply.is_object()) return reply;
      throw MakeError(ErrorCode::kBadAnswer, "{}: its reply is no JSON object", transfer.url);
    }
    const bool may_be_better = MayBeBetterLater(transfer);
    if (attempt == attempts || !may_be_better) {
      const std::string why =
          transfer.HasReply() ? fmt::format("{}: {}", transfer.status, transfer.reply.substr(0, kMostShown))
                              : transfer.error;
      throw MakeError(may_be_better ? ErrorCode::kUnavailable : ErrorCode::kUnsupported, "{}: {}",
                      transfer.url, why);
    }
    const double pause = std::max(kPauses[attempt - 1], std::min(transfer.retry_after, kLongestPause));
    std::this_thread::sleep_for(std::chrono::duration<double>(pause));
  }
}

}  // namespace throng::effects
