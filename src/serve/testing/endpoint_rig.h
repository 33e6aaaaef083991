// Calls endpoints over a model that may answer anything, without a connection.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/testing/fake_model.h"
#include "serve/context.h"
#include "serve/endpoints.h"
#include "serve/fields/json_fields.h"
#include "serve/http/error_reply.h"

namespace throng::serve {

// ChatML that shows calls of tools, and a variable.
inline constexpr const char* kTemplate =
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{%- if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{{ mood }}{% endif %}";

class EndpointRig : public ::testing::Test {
 protected:
  using Endpoint = HttpReply (*)(Context& context, const HttpRequest& request);

  // control: names of further control tokens.
  explicit EndpointRig(const char* chat_template = kTemplate, const std::vector<std::string>& control = {})
      : model_({.model = "tiny.gguf", .kv = "f32", .kv_budget_bytes = 16 << 20, .threads = 2},
               engine::FakeModel(chat_template, 0, control)) {}

  // The whole reply, as the server would send it.
  HttpReply Call(Endpoint endpoint, const std::string& body, std::map<std::string, std::string> params = {}) {
    HttpReply reply;
    try {
      reply = endpoint(context_, {.params = std::move(params), .body = body});
    } catch (const Error& error) {
      return ErrorReply(error);
    }
    if (reply.source == nullptr) return reply;
    const std::shared_ptr<ReplySource> source = std::move(reply.source);
    std::mutex mutex;
    std::condition_variable changed;
    bool pending = true;
    source->OnChange([&] {
      const std::lock_guard lock(mutex);
      pending = true;
      changed.notify_one();
    });
    while (source->Take(reply) == ReplySource::State::kWaiting) {
      std::unique_lock lock(mutex);
      if (!changed.wait_for(lock, std::chrono::seconds(60), [&] { return std::exchange(pending, false); })) {
        ADD_FAILURE() << "no reply after a minute";
        break;
      }
    }
    return reply;
  }

  Json Post(Endpoint endpoint, const Json& body) {
    const HttpReply reply = Call(endpoint, body.dump());
    EXPECT_EQ(reply.status, 200) << body << reply.body;
    return Json::parse(reply.body, nullptr, false);
  }

  // The error of a body that must be refused.
  Json Refused(Endpoint endpoint, const std::string& body) {
    const HttpReply reply = Call(endpoint, body);
    EXPECT_EQ(reply.status, 400) << body.substr(0, 300) << reply.body;
    const Json json = Json::parse(reply.body, nullptr, false);
    return json.is_object() && json.contains("error") ? json["error"] : Json::object();
  }

  // The events of a stream; [DONE] as a text.
  std::vector<Json> Stream(Endpoint endpoint, Json body) {
    body["stream"] = true;
    const HttpReply reply = Call(endpoint, body.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.type, "text/event-stream");
    std::vector<Json> events;
    size_t begin = 0;
    for (size_t end; (end = reply.body.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
      const std::string event = reply.body.substr(begin, end - begin);
      const std::string data = event.substr(event.find("data: ") + 6);
      events.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
    }
    EXPECT_EQ(begin, reply.body.size());
    return events;
  }

  engine::LocalModel model_;
  engine::MetricsRegistry metrics_;
  Context context_{ServerOptions(), &model_, &metrics_};
};

}  // namespace throng::serve
