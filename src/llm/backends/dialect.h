// How one server wants to be asked: by what it says of itself, and by what it has refused so far.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llm/backends/http_options.h"
#include "llm/llm.h"

namespace throng::llm {

// What a server says about an error.
struct ServerError {
  int status = 0;
  std::string text;  // its words in one line, shortened
  std::string type;
  std::string code;
  std::string param;

  static ServerError Parse(int status, const std::string& body);

  bool MeansNoQuota() const;        // the account has nothing left, whatever is asked
  bool MeansTooLong() const;        // this prompt is beyond the model's context
  bool MeansNotThisPrompt() const;  // a filter refuses this prompt
};

// The forms in which a constraint can be sent.
enum class ConstraintForm {
  kGuidedChoice,       // guided_choice (throng, vLLM before 0.11)
  kStructuredOutputs,  // structured_outputs (vLLM)
  kGrammar,            // grammar in GBNF (llama.cpp), of choices and of schemas that a grammar can hold
  kRegex,              // regex (SGLang)
  kResponseFormat,     // response_format with a JSON schema; choices become {"answer": one of them}
  kWords,              // in words, at the end of the prompt
};

class Dialect {
 public:
  // The id of the first model that GET /models lists, or nothing. Learns from its owner and from the header
  // Server which program the server is, and the context of `model`; empty: of the first.
  std::string ReadModels(const std::string& body, std::string_view server_header, const std::string& model);
  int64_t Context() const { return context_; }  // tokens; 0: it has not said
  // The body of vLLM's GET /version.
  void ReadVersion(const std::string& body);
  bool IsVllm() const { return program_ == Program::kVllm; }
  bool IsLlamaCpp() const { return program_ == Program::kLlamaCpp; }
  // Whether sampling that is not sent is not neutral: the server has settings of its own, or the model has.
  bool HasOwnSampling() const { return IsLlamaCpp() || IsVllm() || program_ == Program::kSglang; }

  // Sends priorities as the field `name` of requests.
  void SendPriority(PriorityOrder order, const std::string& name);
  // Empty: they are not sent.
  std::string PriorityName() const;
  int64_t PriorityOf(const Request& request) const {
    return priority_order_ == PriorityOrder::kHighFirst ? -int64_t{request.priority} : request.priority;
  }

  ConstraintForm FormFor(const Constraint& constraint) const;
  // The constraint in GBNF; empty if it is a schema that no grammar can hold. It allows compact JSON alone,
  // as constraints in this process do; what servers make of a schema allows white space, which costs tokens
  // and makes other answers. Those of schemas are kept: agents ask with few schemas many times, and a large
  // one takes long.
  std::string GrammarOf(const Constraint& constraint) const;
  bool LeavesOut(const std::string& parameter) const { return left_out_.contains(parameter); }
  const char* MaxTokensName() const {
    return max_completion_tokens_ ? "max_completion_tokens" : "max_tokens";
  }

  // Learns from a request that was refused (400, 422, 501): the parameters named are changed or left out, a
  // form of constraint is given up for the next one. Returns what was learnt, a clause for each parameter
  // left out.
  std::vector<std::string> LearnFrom(const ServerError& error, const nlohmann::ordered_json& sent,
                                     const Constraint& constraint);

 private:
  void ReadContext(const nlohmann::ordered_json& models, const std::string& model);

  enum class Program { kUnknown, kThrong, kVllm, kLlamaCpp, kSglang };

  std::vector<ConstraintForm> FormsFor(const Constraint& constraint) const;

  Program program_ = Program::kUnknown;
  int64_t context_ = 0;
  bool structured_outputs_ = true;  // vLLM: from 0.11 on
  bool max_completion_tokens_ = false;
  PriorityOrder priority_order_ = PriorityOrder::kNotSent;
  std::string priority_name_;  // if they are sent
  std::set<std::string> left_out_;
  // Forms refused so far, by constraint.
  std::unordered_map<std::string, size_t> refused_forms_;
  mutable std::unordered_map<std::string, std::string> grammars_;  // GrammarOf by schema
};

}  // namespace throng::llm
