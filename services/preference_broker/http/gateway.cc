#include "services/preference_broker/http/gateway.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/options.pb.h"
#include "backflip/v1/people.pb.h"
#include "backflip/v1/review.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/rpc/status.h"
#include "services/preference_broker/http/gzip.h"
#include "services/preference_broker/http/json.h"

namespace backflip::preference_broker {
namespace {

namespace pb = google::protobuf;

// Services for people's clients; learners, trainers and workers use gRPC.
constexpr const char* kServices[] = {"LabelingService", "PeopleService", "ReviewService",
                                     "RunService"};
constexpr char kMethodPrefix[] = "/backflip.v1.";
constexpr char kTypePrefix[] = "type.googleapis.com";
constexpr char kScenePrefix[] = "/scenes/";
constexpr char kGetScene[] = "/backflip.v1.LabelingService/GetScene";
// Of calls that set none: longer than a long poll.
constexpr std::chrono::seconds kDefaultTimeout(60);
// Shorter bodies are not worth compressing.
constexpr size_t kMinCompressedBytes = 1024;
constexpr int kQuickCompression = 1;
constexpr int kThoroughCompression = 6;
constexpr size_t kPackedScenes = 8;

constexpr char kAcceptInvite[] = "/backflip.v1.PeopleService/AcceptInvite";
constexpr char kSignOut[] = "/backflip.v1.PeopleService/SignOut";

using Handled = std::variant<Answer, std::unique_ptr<GatewayCall>>;

Answer NotAllowed(const std::string& allow) {
  Answer answer = ErrorAnswer(
      405, absl::UnimplementedError(absl::StrCat("this address answers to ", allow, " only")));
  answer.headers.emplace_back("Allow", allow);
  return answer;
}

// The media type of a Content-Type, without parameters, in lower case.
std::string MediaType(absl::string_view content_type) {
  return absl::AsciiStrToLower(
      absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';'))));
}

// protobuf's messages about JSON as part of a sentence: "line\ntext\n  ^" shows
// the place with a mark under it, which needs a fixed pitch.
std::string OneLine(absl::string_view message) {
  std::vector<absl::string_view> lines = absl::StrSplit(message, '\n');
  if (lines.size() == 3) {
    const size_t mark = lines[2].find('^');
    if (mark != absl::string_view::npos && mark <= lines[1].size()) {
      return absl::StrCat(lines[0], " At the mark >>>: ", lines[1].substr(0, mark), ">>>",
                          lines[1].substr(mark));
    }
  }
  return absl::StrReplaceAll(message, {{"\n", " "}});
}

std::unique_ptr<pb::Message> NewMessage(const pb::Descriptor* type) {
  return std::unique_ptr<pb::Message>(
      pb::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

absl::StatusOr<std::chrono::milliseconds> Timeout(const std::string& header) {
  if (header.empty()) return std::chrono::milliseconds(kDefaultTimeout);
  int64_t ms = 0;
  if (header.size() > 10 || !absl::SimpleAtoi(header, &ms) || ms < 0) {
    return absl::InvalidArgumentError(
        "the header Connect-Timeout-Ms must be a whole number of milliseconds of at most 10 "
        "digits");
  }
  return std::chrono::milliseconds(ms);
}

// What is wrong with the headers of a call; nothing: they are good.
std::optional<Answer> CheckHeaders(const HttpRequest& request, const std::string& media_type) {
  if (media_type != "application/json" && media_type != "application/proto") {
    Answer answer =
        ErrorAnswer(415, absl::InvalidArgumentError(
                             "the Content-Type must be application/json or application/proto"));
    answer.headers.emplace_back("Accept-Post", "application/json, application/proto");
    return answer;
  }
  if (!request.connect_protocol_version.empty() && request.connect_protocol_version != "1") {
    return ErrorAnswer(absl::InvalidArgumentError(
        "the header Connect-Protocol-Version must be 1, or be left out"));
  }
  if (const auto timeout = Timeout(request.connect_timeout_ms); !timeout.ok())
    return ErrorAnswer(timeout.status());
  return std::nullopt;
}

// Of /scenes/HASH.glb; empty: the path is no such.
std::string SceneHash(absl::string_view path) {
  const bool scene = absl::ConsumePrefix(&path, kScenePrefix) &&
                     absl::ConsumeSuffix(&path, ".glb") && path.size() == 64 &&
                     std::all_of(path.begin(), path.end(), absl::ascii_isxdigit);
  return scene ? std::string(path) : "";
}

// Whether somebody opens an address in a browser: a mangled link, most likely.
bool IsVisit(const HttpRequest& request) {
  return (request.method == "GET" || request.method == "HEAD") &&
         absl::StrContains(absl::AsciiStrToLower(request.accept), "text/html");
}

// The body without its Content-Encoding, or what is wrong with it.
std::variant<Answer, std::string> DecodedBody(const Route& route, const HttpRequest& request) {
  if (request.content_encoding.empty() ||
      absl::EqualsIgnoreCase(request.content_encoding, "identity"))
    return request.body;
  if (absl::EqualsIgnoreCase(request.content_encoding, "gzip") && route.closed) {
    absl::StatusOr<std::string> body = Gunzip(request.body, kMaxBodyBytes);
    if (body.ok()) return *std::move(body);
    return ErrorAnswer(body.status());
  }
  Answer answer = ErrorAnswer(absl::UnimplementedError(
      "the Content-Encoding must be gzip or identity; no other is understood, and of methods that "
      "need no token only identity"));
  if (route.closed) answer.headers.emplace_back("Accept-Encoding", "gzip");
  return answer;
}

// The message of a body, in binary form. INVALID_ARGUMENT: it is none of this type.
absl::StatusOr<std::string> BinaryMessage(pb::util::TypeResolver* types, const pb::Descriptor* type,
                                          bool json, std::string body) {
  std::string message;
  if (!json) {
    message = std::move(body);
  } else {
    if (absl::StripAsciiWhitespace(body).empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the body is empty: send the JSON of a ",
                                                     type->full_name(), ", {} at least"));
    }
    const pb::util::Status parsed = pb::util::JsonToBinaryString(
        types, absl::StrCat(kTypePrefix, "/", type->full_name()), body, &message);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the body is not the JSON of a ", type->full_name(), ": ",
          OneLine(absl::string_view(parsed.message().data(), parsed.message().size()))));
    }
  }
  // gRPC would report a message that it cannot read as a failure of its own
  if (!NewMessage(type)->ParseFromString(message)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body is not a ", type->full_name(), json ? ":" : ": it is cut off, something else, or",
        " has text that is not UTF-8"));
  }
  return message;
}

}  // namespace

GatewayCall::GatewayCall(grpc::GenericStub* stub, std::shared_ptr<void> place, std::string path,
                         const Route& route, const HttpRequest& request, const std::string& message)
    : stub_(stub), place_(std::move(place)), path_(std::move(path)) {
  if (!route.token.empty())
    context_.AddMetadata("authorization", absl::StrCat("Bearer ", route.token));
  const grpc::Slice slice(message);
  request_ = grpc::ByteBuffer(&slice, 1);
  // Find has refused a header that is no number
  context_.set_deadline(std::chrono::system_clock::now() + *Timeout(request.connect_timeout_ms));
}

void GatewayCall::Start(std::function<void()> done) {
  stub_->UnaryCall(&context_, path_, grpc::StubOptions(), &request_, &response_,
                   [this, done = std::move(done)](const grpc::Status& status) {
                     status_ = status;
                     done();
                   });
}

std::string GatewayCall::Response() {
  std::vector<grpc::Slice> slices;
  (void)response_.Dump(&slices);
  std::string bytes;
  bytes.reserve(response_.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

class ConnectCall final : public GatewayCall {
 public:
  ConnectCall(Gateway* gateway, std::shared_ptr<void> place, const Route& route,
              const HttpRequest& request, const std::string& message)
      : GatewayCall(&gateway->stub_, std::move(place), route.path, route, request, message),
        gateway_(gateway),
        route_(route) {}

  Answer Finish() override {
    if (!status().ok()) return gateway_->Refusal(route_, rpc::FromGrpc(status()));
    Answer answer;
    answer.compressible = true;
    std::string response = Response();
    if (route_.page.has_value() && route_.path == kAcceptInvite)
      response = SignIn(response, &answer);
    if (route_.page.has_value() && route_.path == kSignOut)
      answer.headers.emplace_back("Set-Cookie", gateway_->cookies_.Clear(*route_.page));
    if (!route_.json) {
      answer.content_type = "application/proto";
      answer.body = std::make_shared<std::string>(std::move(response));
      return answer;
    }
    const std::unique_ptr<pb::Message> message = NewMessage(route_.method->output_type());
    if (!message->ParseFromString(response))
      return ErrorAnswer(absl::InternalError("the answer cannot be read"));
    answer.content_type = "application/json";
    answer.body = std::make_shared<std::string>(ToJson(*message));
    return answer;
  }

 private:
  // The response without its token, which goes into a cookie.
  std::string SignIn(const std::string& response, Answer* answer) const {
    v1::AcceptInviteResponse accepted;
    if (!accepted.ParseFromString(response)) return response;
    answer->headers.emplace_back("Set-Cookie",
                                 gateway_->cookies_.Set(PageOf(accepted.role()), accepted.token()));
    accepted.clear_token();
    return accepted.SerializeAsString();
  }

  Gateway* const gateway_;
  const Route route_;
};

class SceneCall final : public GatewayCall {
 public:
  SceneCall(Gateway* gateway, std::shared_ptr<void> place, const Route& route,
            const HttpRequest& request, const std::string& message, std::string hash)
      : GatewayCall(&gateway->stub_, std::move(place), kGetScene, route, request, message),
        gateway_(gateway),
        route_(route),
        hash_(std::move(hash)),
        gzip_(AcceptsGzip(request.accept_encoding)) {}

  Answer Finish() override {
    if (!status().ok()) return gateway_->Refusal(route_, rpc::FromGrpc(status()));
    v1::GetSceneResponse response;
    if (!response.ParseFromString(Response()))
      return ErrorAnswer(absl::InternalError("the scene cannot be read"));
    Answer answer;
    answer.content_type = "model/gltf-binary";
    answer.cache_control = "private, max-age=31536000, immutable";
    answer.headers.emplace_back("Vary", "Accept-Encoding");
    if (gzip_) {
      answer.encoding = "gzip";
      answer.body = gateway_->PackScene(hash_, response.glb());
    } else {
      answer.body = std::make_shared<std::string>(std::move(*response.mutable_glb()));
    }
    return answer;
  }

 private:
  Gateway* const gateway_;
  const Route route_;
  const std::string hash_;
  const bool gzip_;
};

Gateway::Gateway(const std::shared_ptr<grpc::Channel>& channel, CheckToken check, Pages pages)
    : stub_(channel),
      gate_(std::move(check)),
      pages_(std::move(pages)),
      types_(pb::util::NewTypeResolverForDescriptorPool(kTypePrefix,
                                                        pb::DescriptorPool::generated_pool())) {
  // a message of each file, so that the linker keeps the file's descriptors
  for (const pb::FileDescriptor* file :
       {v1::LeaseRequest::descriptor()->file(), v1::InviteRequest::descriptor()->file(),
        v1::WatchDashboardRequest::descriptor()->file(), v1::Run::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      const pb::ServiceDescriptor* const service = file->service(i);
      if (std::find(std::begin(kServices), std::end(kServices), service->name()) ==
          std::end(kServices))
        continue;
      for (int k = 0; k < service->method_count(); ++k) {
        const pb::MethodDescriptor* const method = service->method(k);
        if (method->client_streaming() || method->server_streaming()) continue;
        methods_[absl::StrCat("/", service->full_name(), "/", method->name())] = method;
      }
    }
  }
}

void Gateway::ReachedAt(const std::string& url) {
  url_ = url;
  cookies_ = SessionCookies(url);
}

bool Gateway::FromOwnPage(const HttpRequest& request) const {
  if (!request.fetch_site.empty()) return request.fetch_site == "same-origin";
  // browsers of before 2023
  absl::string_view host = request.origin;
  if (!absl::ConsumePrefix(&host, "https://")) absl::ConsumePrefix(&host, "http://");
  return host.empty() || request.origin == url_ || host == request.host;
}

std::variant<Answer, Route> Gateway::Find(const HttpRequest& request) const {
  if (!request.doubled.empty()) {
    return ErrorAnswer(absl::InvalidArgumentError(
        absl::StrCat("the header ", request.doubled, " is sent twice: send it once")));
  }
  Route route;
  route.path = request.target.substr(0, request.target.find('?'));
  if (request.page == "labeling") route.page = Page::kLabeling;
  if (request.page == "dashboard") route.page = Page::kDashboard;
  if (route.page.has_value() && !FromOwnPage(request)) {
    return ErrorAnswer(absl::PermissionDeniedError(
        "another site's page sends this call: sessions are for this server's own pages"));
  }
  absl::string_view bearer = request.authorization;
  if (absl::ConsumePrefix(&bearer, "Bearer ")) route.token = std::string(bearer);
  if (request.authorization.empty() && route.page.has_value())
    route.token = cookies_.Read(*route.page, request.cookie);
  // gRPC aborts the process on metadata with other characters
  if (!std::all_of(route.token.begin(), route.token.end(), absl::ascii_isprint) ||
      !std::all_of(request.authorization.begin(), request.authorization.end(),
                   absl::ascii_isprint)) {
    return ErrorAnswer(
        absl::UnauthenticatedError("the header Authorization has characters that no token has: "
                                   "send `authorization: Bearer TOKEN`"));
  }
  if (absl::StartsWith(route.path, kMethodPrefix)) return FindMethod(request, std::move(route));
  if (absl::StartsWith(route.path, kScenePrefix)) {
    if (SceneHash(route.path).empty()) {
      return ErrorAnswer(absl::NotFoundError(
          "a scene is named by the 64 hexadecimal digits of its hash, and .glb"));
    }
    route.kind = Route::Kind::kScene;
    route.closed = true;
  } else if (route.path == "/healthz") {
    route.kind = Route::Kind::kHealth;
  } else if (!pages_.Has(route.path) && pages_.Has("/") && IsVisit(request)) {
    route.lost = true;
    route.path = "/";
  } else if (!pages_.Has(route.path)) {
    return ErrorAnswer(absl::NotFoundError(
        route.path == "/" || route.path == "/dashboard"
            ? "the pages are not here: build them, and name their folder with --web"
            : "there is nothing at this address"));
  }
  if (request.method != "GET" && request.method != "HEAD") return NotAllowed("GET, HEAD");
  return route;
}

std::variant<Answer, Route> Gateway::FindMethod(const HttpRequest& request, Route route) const {
  const auto found = methods_.find(route.path);
  if (found == methods_.end()) {
    return ErrorAnswer(
        404, absl::UnimplementedError(
                 "there is no such method over HTTP: unary methods of LabelingService, "
                 "PeopleService, ReviewService and RunService are; others are spoken in gRPC"));
  }
  if (request.method != "POST") return NotAllowed("POST");
  const std::string media_type = MediaType(request.content_type);
  if (std::optional<Answer> refused = CheckHeaders(request, media_type); refused.has_value())
    return *std::move(refused);
  route.kind = Route::Kind::kMethod;
  route.method = found->second;
  route.json = media_type == "application/json";
  const auto& roles = route.method->options().GetRepeatedExtension(v1::roles);
  route.closed = std::find(roles.begin(), roles.end(), v1::ROLE_ANYONE) == roles.end();
  return route;
}

Answer Gateway::Refusal(const Route& route, const absl::Status& status) {
  Answer answer = ErrorAnswer(status);
  if (!route.closed || !absl::IsUnauthenticated(status)) return answer;
  gate_.Forget(route.token);
  if (route.page.has_value())
    answer.headers.emplace_back("Set-Cookie", cookies_.Clear(*route.page));
  return answer;
}

void Gateway::Admit(const Route& route, const HttpRequest& request,
                    std::function<void(std::optional<Answer>)> done) {
  const auto admitted = [this, route, done = std::move(done)](const absl::Status& status) {
    done(status.ok() ? std::nullopt : std::optional<Answer>(Refusal(route, status)));
  };
  if (route.kind == Route::Kind::kPage || route.kind == Route::Kind::kHealth)
    return admitted(absl::OkStatus());
  if (!route.closed) return admitted(gate_.TakeAnonymous(request.address));
  if (gate_.Knows(route.token)) return admitted(absl::OkStatus());
  gate_.Check(route.token, request.address, admitted);
}

Handled Gateway::Handle(const Route& route, const HttpRequest& request) {
  switch (route.kind) {
    case Route::Kind::kMethod:
    case Route::Kind::kScene: {
      absl::StatusOr<std::shared_ptr<void>> place = gate_.Enter(request.address);
      if (!place.ok()) return ErrorAnswer(place.status());
      return route.kind == Route::Kind::kMethod ? HandleMethod(*std::move(place), route, request)
                                                : HandleScene(*std::move(place), route, request);
    }
    case Route::Kind::kHealth: {
      if (ready_ != nullptr && !ready_())
        return ErrorAnswer(absl::UnavailableError("the database does not answer"));
      Answer answer;
      answer.content_type = "text/plain; charset=utf-8";
      answer.body = std::make_shared<std::string>("serving\n");
      return answer;
    }
    case Route::Kind::kPage:
      break;
  }
  if (!route.lost) return pages_.Get(route.path, request.accept_encoding, request.if_none_match);
  Answer answer = pages_.Get(route.path, request.accept_encoding, /*if_none_match=*/"");
  answer.status = 404;
  answer.cache_control = "no-store";
  return answer;
}

Handled Gateway::HandleMethod(std::shared_ptr<void> place, const Route& route,
                              const HttpRequest& request) {
  // what a body decompresses to is paid for afterwards: who owes is refused before the work
  if (route.closed) {
    if (const absl::Status status = gate_.TakeBody(route.token, request.body.size()); !status.ok())
      return ErrorAnswer(status);
  }
  auto body = DecodedBody(route, request);
  if (auto* const refused = std::get_if<Answer>(&body)) return std::move(*refused);
  if (const size_t bytes = std::get<std::string>(body).size(); bytes > request.body.size())
    (void)gate_.TakeBody(route.token, bytes - request.body.size());
  absl::StatusOr<std::string> message = BinaryMessage(
      types_.get(), route.method->input_type(), route.json, std::get<std::string>(std::move(body)));
  if (!message.ok()) return ErrorAnswer(message.status());
  return std::make_unique<ConnectCall>(this, std::move(place), route, request, *message);
}

Handled Gateway::HandleScene(std::shared_ptr<void> place, const Route& route,
                             const HttpRequest& request) {
  if (const absl::Status status = gate_.TakeBody(route.token, 0); !status.ok())
    return ErrorAnswer(status);
  const std::string hash = SceneHash(route.path);
  v1::GetSceneRequest scene;
  scene.set_scene_hash(hash);
  return std::make_unique<SceneCall>(this, std::move(place), route, request,
                                     scene.SerializeAsString(), hash);
}

std::shared_ptr<const std::string> Gateway::PackScene(const std::string& hash,
                                                      const std::string& glb) {
  {
    base::MutexLock lock(&mutex_);
    for (const PackedScene& scene : scenes_) {
      if (scene.hash == hash) return scene.gzipped;
    }
  }
  auto gzipped = std::make_shared<const std::string>(Gzip(glb, kThoroughCompression));
  base::MutexLock lock(&mutex_);
  scenes_.push_front({hash, gzipped});
  if (scenes_.size() > kPackedScenes) scenes_.pop_back();
  return gzipped;
}

void Gateway::Encode(const HttpRequest& request, Answer* answer) {
  if (!answer->compressible || !answer->encoding.empty()) return;
  answer->headers.emplace_back("Vary", "Accept-Encoding");
  if (answer->body->size() <= kMinCompressedBytes || !AcceptsGzip(request.accept_encoding)) return;
  answer->body = std::make_shared<std::string>(Gzip(*answer->body, kQuickCompression));
  answer->encoding = "gzip";
}

}  // namespace backflip::preference_broker
