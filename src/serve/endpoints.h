// One function per endpoint. Many threads may call them at once; anything that they throw becomes an error
// body. They may read files and compute, but do not wait for the model: that is for a ReplySource.
#pragma once

#include "serve/context.h"
#include "serve/exchange.h"

namespace throng::serve {

HttpReply ChatCompletions(Context& context, const HttpRequest& request);  // POST /v1/chat/completions
HttpReply Completions(Context& context, const HttpRequest& request);      // POST /v1/completions
HttpReply Models(Context& context, const HttpRequest& request);           // GET /v1/models
HttpReply ModelById(Context& context, const HttpRequest& request);        // GET /v1/models/{model}
HttpReply Embeddings(Context& context, const HttpRequest& request);       // POST /v1/embeddings
HttpReply CreateResponse(Context& context, const HttpRequest& request);   // POST /v1/responses
HttpReply GetResponse(Context& context, const HttpRequest& request);      // GET /v1/responses/{id}
HttpReply DeleteResponse(Context& context, const HttpRequest& request);   // DELETE /v1/responses/{id}
HttpReply Tokenize(Context& context, const HttpRequest& request);         // POST /tokenize
HttpReply Detokenize(Context& context, const HttpRequest& request);       // POST /detokenize

// Ollama's API.
HttpReply OllamaChat(Context& context, const HttpRequest& request);        // POST /api/chat
HttpReply OllamaGenerate(Context& context, const HttpRequest& request);    // POST /api/generate
HttpReply OllamaEmbed(Context& context, const HttpRequest& request);       // POST /api/embed
HttpReply OllamaEmbeddings(Context& context, const HttpRequest& request);  // POST /api/embeddings
HttpReply OllamaTags(Context& context, const HttpRequest& request);        // GET /api/tags
HttpReply OllamaPs(Context& context, const HttpRequest& request);          // GET /api/ps
HttpReply OllamaVersion(Context& context, const HttpRequest& request);     // GET /api/version
HttpReply OllamaShow(Context& context, const HttpRequest& request);        // POST /api/show

HttpReply Health(Context& context, const HttpRequest& request);  // GET /health: 200 as long as it lives
HttpReply Ready(Context& context, const HttpRequest& request);   // GET /ready: 503 while it takes no requests
HttpReply Metrics(Context& context, const HttpRequest& request);  // GET /metrics

// Pages for browsers. GET / is the viewer where a run is shown, else the chat.
HttpReply HomePage(Context& context, const HttpRequest& request);
HttpReply ViewerFile(Context& context, const HttpRequest& request);  // GET /viewer/{file}
HttpReply ChatPage(Context& context, const HttpRequest& request);    // GET /chat
HttpReply ChatFile(Context& context, const HttpRequest& request);    // GET /chat/{file}

// What the viewer asks of a run; docs/viewer.md has the replies. All take run=1 for the one beside it, and
// ranges of steps exclude the last one.
HttpReply RunInfo(Context& context, const HttpRequest& request);        // GET /api/run
HttpReply RunMap(Context& context, const HttpRequest& request);         // GET /api/map
HttpReply RunPositions(Context& context, const HttpRequest& request);   // GET /api/positions?from=A&to=B
HttpReply RunSteps(Context& context, const HttpRequest& request);       // GET /api/steps?from=A&to=B
HttpReply RunCalls(Context& context, const HttpRequest& request);       // GET /api/calls?from=A&to=B
HttpReply RunProgress(Context& context, const HttpRequest& request);    // GET /api/progress?from=N
HttpReply RunCall(Context& context, const HttpRequest& request);        // GET /api/call?step=S&agent=A&call=C
HttpReply RunMind(Context& context, const HttpRequest& request);        // GET /api/mind?agent=A&step=S
HttpReply RunClusters(Context& context, const HttpRequest& request);    // GET /api/clusters?step=S
HttpReply RunCosts(Context& context, const HttpRequest& request);       // GET /api/costs
HttpReply RunSeries(Context& context, const HttpRequest& request);      // GET /api/series
HttpReply RunSearch(Context& context, const HttpRequest& request);      // GET /api/search?text=T
HttpReply RunDifference(Context& context, const HttpRequest& request);  // GET /api/difference
HttpReply RunInterview(Context& context, const HttpRequest& request);   // POST /api/interview
HttpReply RunInject(Context& context, const HttpRequest& request);      // POST /api/events
HttpReply RunPause(Context& context, const HttpRequest& request);       // POST /api/pause
HttpReply RunAnswer(Context& context, const HttpRequest& request);      // POST /api/answer
inline constexpr int kMaxStepsPerReply = 1000;

}  // namespace throng::serve
