// POST /v1/chat/completions and /v1/completions

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <variant>

#include "serve/completion_request.h"
#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/reply.h"
#include "serve/token_logprobs.h"
#include "serve/tools/chat_answer.h"
#include "serve/tools/chat_turn.h"

namespace throng::serve {
namespace {

// Whether the model has the tokens that a request names.
void CheckTokens(const engine::LocalModel& model, const CompletionRequest& request) {
  const int vocab = model.Config().vocab_size;
  const auto check = [&](const char* field, int32_t token) {
    if (token >= 0 && token < vocab) return;
    throw BadField(field, "invalid_value", "token {} is not in the vocabulary of {}", token, vocab);
  };
  for (const engine::Prompt& prompt : request.prompts) {
    const auto* tokens = std::get_if<std::vector<int32_t>>(&prompt);
    if (tokens == nullptr) continue;
    for (const int32_t token : *tokens) check("prompt", token);
  }
  for (const int32_t token : request.settings.rules.ends) check("stop_token_ids", token);
  for (const engine::TokenBias& bias : request.settings.rules.bias) check("logit_bias", bias.token);
}

std::vector<Choices> MakeChoices(engine::LocalModel& model, const CompletionRequest& request, bool chat) {
  CheckTokens(model, request);
  std::vector<Choices> choices;
  for (const engine::Prompt& prompt : request.prompts) {
    engine::TextRequest text = request.settings;
    if (chat) {
      SetTurn(model, std::get<model::ChatInput>(prompt), request.tools, request.thoughts, text);
    } else {
      text.prompt = prompt;
    }
    choices.push_back(Choices::Of(model, std::move(text), chat ? "messages" : "prompt", request.form_field,
                                  request.num_candidates));
    choices.back().request.priority = request.priority;
  }
  return choices;
}

// The tokens of an answer that begin in its text: not those that end it, or that a stop text cut off.
std::span<const engine::TokenLogprobs> InText(const engine::EngineResult& result) {
  const auto after = [&](const engine::TokenLogprobs& token) {
    return token.text_begin >= result.text.size();
  };
  const std::span<const engine::TokenLogprobs> all = result.logprobs;
  return all.first(static_cast<size_t>(std::ranges::find_if(all, after) - all.begin()));
}

// A request and its choices, and the JSON of both: chats and texts differ in little.
class Completion : public ReplySource {
 public:
  Completion(Context& context, CompletionRequest request, bool chat)
      : chat_(chat),
        request_(std::move(request)),
        model_(context.Model()),
        head_(MakeHead(context, chat ? "chatcmpl" : "cmpl")),
        prompts_(MakeChoices(model_, request_, chat)),
        generation_(context, prompts_) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

 protected:
  const model::Tokenizer& Tokenizer() const { return *model_.Loaded().tokenizer; }
  size_t PerPrompt() const { return static_cast<size_t>(request_.num_candidates); }
  Usage Counts() const {
    Usage usage = Usage::Of(generation_, PerPrompt());
    for (size_t i = 0; chat_ && i < generation_.NumChoices(); ++i)
      usage.thought_tokens += ThoughtTokens(model_, Form(), generation_.Result(i));
    return usage;
  }
  // The form of a chat's answers.
  const std::shared_ptr<const llm::AnswerForm>& Form() const { return prompts_[0].form; }

  // The error of the first choice that has one.
  const engine::EngineResult* Failed() const {
    for (size_t i = 0; i < generation_.NumChoices(); ++i) {
      if (!IsFinished(generation_.Result(i))) return &generation_.Result(i);
    }
    return nullptr;
  }

  Json Head(bool chunk) const {
    const char* object = !chat_ ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
    return {{"id", head_.id},
            {"object", object},
            {"created", head_.created},
            {"model", head_.model},
            {"system_fingerprint", head_.fingerprint}};
  }

  // What echo puts before the answer.
  std::string PromptText(size_t prompt) const {
    if (!request_.echo) return "";
    const auto* text = std::get_if<std::string>(&request_.prompts[prompt]);
    return text != nullptr ? *text : Tokenizer().Decode(prompts_[prompt].request.prompt);
  }
  Json PromptLogprobs(size_t prompt, TextLogprobs& logprobs) const {
    return logprobs.Prompt(PromptText(prompt), prompts_[prompt].request.prompt,
                           generation_.PromptLogprobs(prompt * PerPrompt()));
  }

  const bool chat_;
  const CompletionRequest request_;
  engine::LocalModel& model_;
  const ReplyHead head_;
  const std::vector<Choices> prompts_;
  Generation generation_;
};

class WholeCompletion : public Completion {
 public:
  using Completion::Completion;

  State Take(HttpReply& reply) override {
    std::vector<Generation::Piece> ignored;
    if (!generation_.Take(ignored)) return State::kWaiting;
    if (const engine::EngineResult* failed = Failed()) {
      reply = ErrorReply(ErrorOf(*failed));
      reply.tokens = Counts().ForLog();
      return State::kEnd;
    }
    reply.tokens = Counts().ForLog();
    Json json = Head(/*chunk=*/false);
    json["choices"] = Json::array();
    for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
      for (const size_t candidate : Best(prompt)) {
        json["choices"].push_back(Choice(json["choices"].size(), prompt, generation_.Result(candidate)));
      }
    }
    json["usage"] = Counts().ToJson();
    reply.body = Dump(json);
    return State::kEnd;
  }

 private:
  // The prompt's candidates that become its choices.
  std::vector<size_t> Best(size_t prompt) const {
    std::vector<size_t> candidates(PerPrompt());
    std::iota(candidates.begin(), candidates.end(), prompt * PerPrompt());
    const auto num_choices = static_cast<size_t>(request_.num_choices);
    if (num_choices == candidates.size()) return candidates;
    const auto mean = [&](size_t candidate) {
      double sum = 0;
      const std::vector<engine::TokenLogprobs>& tokens = generation_.Result(candidate).logprobs;
      for (const engine::TokenLogprobs& token : tokens) sum += static_cast<double>(token.chosen.logprob);
      return sum / static_cast<double>(std::max<size_t>(1, tokens.size()));
    };
    std::ranges::stable_sort(candidates, std::greater(), mean);
    candidates.resize(num_choices);
    return candidates;
  }

  Json Choice(size_t index, size_t prompt, const engine::EngineResult& result) const {
    Json choice = {{"index", index}};
    Json logprobs;
    bool has_calls = false;
    if (chat_) {
      const ChatAnswer answer = ChatAnswer::Of(Form(), result.text);
      has_calls = !answer.Calls().empty();
      choice["message"] = answer.Message();
      if (request_.top_logprobs) logprobs = ChatLogprobs(Tokenizer(), InText(result));
    } else {
      choice["text"] = PromptText(prompt) + result.text;
      if (request_.top_logprobs) {
        TextLogprobs writer(Tokenizer());
        Json of_prompt = request_.echo ? PromptLogprobs(prompt, writer) : Json();
        logprobs = writer.Part(result.text, InText(result));
        if (request_.echo) logprobs = JoinTextLogprobs(std::move(of_prompt), logprobs);
      }
    }
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = FinishName(result.finish, has_calls);
    return choice;
  }
};

class StreamedCompletion : public Completion {
 public:
  StreamedCompletion(Context& context, CompletionRequest request, bool chat)
      : Completion(context, std::move(request), chat),
        logprobs_(generation_.NumChoices(), TextLogprobs(Tokenizer())),
        echoed_(generation_.NumChoices()) {
    if (!chat) return;
    for (size_t i = 0; i < generation_.NumChoices(); ++i) answers_.emplace_back(Form());
    waiting_.resize(generation_.NumChoices());
  }

  State Take(HttpReply& reply) override {
    if (chat_ && !std::exchange(begun_, true)) {
      for (size_t i = 0; i < generation_.NumChoices(); ++i)
        reply.body += Chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    }
    std::vector<Generation::Piece> pieces;
    const bool all_ended = generation_.Take(pieces);
    for (const Generation::Piece& piece : pieces) {
      chat_ ? WriteChat(piece, reply.body) : WriteText(piece, reply.body);
    }
    if (!all_ended) return State::kWaiting;
    reply.tokens = Counts().ForLog();
    if (const engine::EngineResult* failed = Failed()) {
      reply.body += "data: " + ErrorBody(ErrorOf(*failed)) + "\n\n";
      return State::kEnd;
    }
    if (request_.stream_usage) {
      Json json = Head(/*chunk=*/true);
      json["choices"] = Json::array();
      json["usage"] = Counts().ToJson();
      reply.body += Event(json);
    }
    reply.body += kDoneEvent;
    return State::kEnd;
  }

 private:
  // A text may tell nothing yet: log-probabilities then wait for the next one that does.
  void WriteChat(const Generation::Piece& piece, std::string& body) {
    ChatAnswer& answer = answers_[piece.choice];
    std::vector<engine::TokenLogprobs>& waiting = waiting_[piece.choice];
    waiting.insert(waiting.end(), piece.logprobs.begin(), piece.logprobs.end());
    const auto write = [&](const Json& delta, const Json& finish) {
      Json logprobs;
      if (request_.top_logprobs && !waiting.empty()) logprobs = ChatLogprobs(Tokenizer(), waiting);
      waiting.clear();
      body += Chunk(piece.choice, delta, std::move(logprobs), finish);
    };
    for (const ChatPiece& one : answer.Read(piece.text)) write(answer.Delta(one), nullptr);
    if (!piece.ended || !IsFinished(generation_.Result(piece.choice))) return;
    for (const ChatPiece& one : answer.Finish()) write(answer.Delta(one), nullptr);
    const llm::FinishReason finish = generation_.Result(piece.choice).finish;
    write(Json::object(), FinishName(finish, !answer.Calls().empty()));
  }

  void WriteText(const Generation::Piece& piece, std::string& body) {
    const size_t prompt = piece.choice / PerPrompt();
    const bool failed = piece.ended && !IsFinished(generation_.Result(piece.choice));
    TextLogprobs& writer = logprobs_[piece.choice];
    if (request_.echo && !failed && !std::exchange(echoed_[piece.choice], true)) {
      Json logprobs = request_.top_logprobs ? PromptLogprobs(prompt, writer) : Json();
      body += Chunk(piece.choice, {{"content", PromptText(prompt)}}, std::move(logprobs), nullptr);
    }
    if (!piece.text.empty()) {
      Json logprobs;
      if (request_.top_logprobs) logprobs = writer.Part(piece.text, piece.logprobs);
      body += Chunk(piece.choice, {{"content", piece.text}}, std::move(logprobs), nullptr);
    }
    if (!piece.ended || failed) return;
    const llm::FinishReason finish = generation_.Result(piece.choice).finish;
    body += Chunk(piece.choice, Json::object(), nullptr, FinishName(finish));
  }

  std::string Chunk(size_t index, const Json& delta, Json logprobs, const Json& finish) const {
    Json json = Head(/*chunk=*/true);
    Json choice = {{"index", index}};
    if (chat_) {
      choice["delta"] = delta;
    } else {
      choice["text"] = delta.value("content", "");
    }
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = finish;
    json["choices"] = Json::array({std::move(choice)});
    if (request_.stream_usage) json["usage"] = nullptr;
    return Event(json);
  }

  bool begun_ = false;
  std::vector<TextLogprobs> logprobs_;                       // by choice
  std::vector<char> echoed_;                                 // by choice: whether the prompt has been sent
  std::vector<ChatAnswer> answers_;                          // of a chat, by choice
  std::vector<std::vector<engine::TokenLogprobs>> waiting_;  // likewise: not sent yet
};

HttpReply Complete(Context& context, CompletionRequest request, bool chat) {
  HttpReply reply;
  reply.stream = request.stream;
  if (request.stream) {
    reply.type = kEventStream;
    reply.source = std::make_shared<StreamedCompletion>(context, std::move(request), chat);
  } else {
    reply.source = std::make_shared<WholeCompletion>(context, std::move(request), chat);
  }
  return reply;
}

}  // namespace

HttpReply ChatCompletions(Context& context, const HttpRequest& request) {
  return Complete(context, ParseChatRequest(request.body), /*chat=*/true);
}

HttpReply Completions(Context& context, const HttpRequest& request) {
  return Complete(context, ParseTextRequest(request.body), /*chat=*/false);
}

}  // namespace throng::serve
