// The pages for browsers: files of web/, which the build puts into the program.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/http/gzip.h"
#include "serve/web_files.h"

namespace throng::serve {
namespace {

// Packed once: it takes longer than all the rest of the reply.
constexpr int kSmall = 9;

// Whatever a model or a run writes on a page, it loads nothing and talks to nobody but this server. The
// viewer's page has its style and icon in itself.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src "
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::map<std::string_view, std::string> PackAll() {
  std::map<std::string_view, std::string> packed;
  for (const WebFile& file : WebFiles()) packed.emplace(file.path, Gzip(file.bytes, kSmall));
  return packed;
}

HttpReply FileReply(const HttpRequest& request, std::string_view path) {
  static const std::map<std::string_view, std::string> packed = PackAll();
  const auto file = std::ranges::find(WebFiles(), path, &WebFile::path);
  if (file == WebFiles().end()) return ErrorReply(404, fmt::format("there is no {}", path));
  HttpReply reply;
  reply.type = file->type;
  reply.headers.emplace_back("Content-Security-Policy", kPolicy);
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  reply.headers.emplace_back("Vary", "Accept-Encoding");
  if (AcceptsGzip(request)) {
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = packed.at(path);
  } else {
    reply.body = file->bytes;
  }
  return reply;
}

}  // namespace

HttpReply HomePage(Context& context, const HttpRequest& request) {
  return context.options.journal.empty() ? ChatPage(context, request) : FileReply(request, "index.html");
}

HttpReply ViewerScript(Context& context, const HttpRequest& request) {
  return FileReply(request, "viewer.js");
}

HttpReply ChatPage(Context& context, const HttpRequest& request) {
  return FileReply(request, "chat/index.html");
}

HttpReply ChatFile(Context& context, const HttpRequest& request) {
  return FileReply(request, "chat/" + request.params.at("file"));
}

}  // namespace throng::serve
