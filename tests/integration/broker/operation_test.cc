// Who may call, what happens when everything is busy, away or ending.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/retry.h"
#include "common/rpc/server.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/db/migrate.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

// The protocol's promise, as the comments in proto/backflip/v1 say it.
const std::map<std::string, std::set<Role>>& Promised() {
  constexpr Role L = Role::kLabeler, T = Role::kTeacher, R = Role::kReviewer, O = Role::kOperator;
  constexpr Role le = Role::kLearner, tr = Role::kTrainer, wo = Role::kWorker;
  static const auto* const promised =
      new std::map<std::string, std::set<Role>>{{"RunService.Create", {O}},
                                                {"RunService.Get", {O, R, le, tr}},
                                                {"RunService.List", {O, R}},
                                                {"RunService.Watch", {O, R, le, tr}},
                                                {"RunService.Continue", {O}},
                                                {"RunService.Cancel", {O}},
                                                {"RunService.ListMetrics", {O, R}},
                                                {"RunService.ReportMetrics", {le, tr}},
                                                {"RunService.ReportEvaluation", {wo}},
                                                {"RunService.ListEvaluations", {O, R}},
                                                {"RunService.Fork", {O}},
                                                {"RunService.StopAsking", {O}},
                                                {"ReviewService.Watch", {O, R}},
                                                {"ReviewService.ListLabels", {O, R}},
                                                {"ReviewService.ListDisagreements", {O, R}},
                                                {"ReviewService.GetClips", {O, R}},
                                                {"ReviewService.GetEpisode", {O, R}},
                                                {"ReviewService.AskAbout", {O, R}},
                                                {"ReviewService.AddGold", {O, R}},
                                                {"ReviewService.ListGold", {O, R}},
                                                {"ReviewService.RemoveGold", {O, R}},
                                                {"ReviewService.ExportClips", {O, R}},
                                                {"ReviewService.ImportLabels", {O}},
                                                {"ClipService.Upload", {wo}},
                                                {"ClipService.ListCandidates", {tr}},
                                                {"LabelingService.Lease", {L, T}},
                                                {"LabelingService.Heartbeat", {L, T}},
                                                {"LabelingService.Submit", {L, T}},
                                                {"LabelingService.Undo", {L, T}},
                                                {"LabelingService.Export", {R, O}},
                                                {"LabelingService.GetSession", {L, T}},
                                                {"LabelingService.GetGuide", {L, T}},
                                                {"LabelingService.GetScene", {L, T, R, O}},
                                                {"PeopleService.Invite", {O}},
                                                {"PeopleService.DescribeInvite", {}},
                                                {"PeopleService.AcceptInvite", {}},
                                                {"PeopleService.SignOut", {L, R, O}},
                                                {"PeopleService.ListLabelers", {R, O}},
                                                {"PeopleService.SetLabelerState", {R, O}},
                                                {"PeopleService.ForgetLabeler", {O}},
                                                {"PeopleService.ResetLabeler", {O}},
                                                {"PeopleService.ListInvites", {O}},
                                                {"PeopleService.WithdrawInvite", {O}},
                                                {"PeopleService.SetInviteCap", {O}},
                                                {"PeopleService.Statement", {O}},
                                                {"PeopleService.RetractLabels", {O}},
                                                {"RestartService.GetMoments", {le}},
                                                {"TrainingService.OpenQuestions", {tr}},
                                                {"TrainingService.FollowLabels", {tr}},
                                                {"TrainingService.ReportReliability", {tr}},
                                                {"SnapshotService.Publish", {le, tr}},
                                                {"SnapshotService.Get", {le, tr, O, R}},
                                                {"SnapshotService.Watch", {le, tr, O, R}},
                                                {"SnapshotService.List", {le, tr, O, R}},
                                                {"SnapshotService.SetBest", {le}},
                                                {"SnapshotService.SaveCheckpoint", {le, tr}},
                                                {"SnapshotService.LoadCheckpoint", {le, tr}},
                                                {"BundleService.Put", {O}},
                                                {"BundleService.Get", {wo, O, R}},
                                                {"BundleService.PutScene", {O}},
                                                {"ClaimService.Claim", {le, tr}},
                                                {"ClaimService.Renew", {le, tr}},
                                                {"ClaimService.Release", {le, tr}},
                                                {"ClaimService.CompleteBatch", {le}},
                                                {"WorkService.AssignWork", {wo}},
                                                {"OperationService.ListTokens", {O}},
                                                {"OperationService.CreateToken", {O}},
                                                {"OperationService.RotateToken", {O}},
                                                {"OperationService.RevokeToken", {O}},
                                                {"OperationService.ListAudit", {O}},
                                                {"OperationService.DeleteRun", {O}},
                                                {"OperationService.CollectGarbage", {O}},
                                                {"TraceService.TraceLabel", {O, R}},
                                                {"ConfigService.ReportConfig", {le, tr, wo}},
                                                {"ConfigService.ListConfigs", {O}},
                                                {"TraceService.ReportSources", {le, tr}},
                                                {"WorkerService.Invite", {O}},
                                                {"WorkerService.Join", {}},
                                                {"WorkerService.List", {O}},
                                                {"WorkerService.Revoke", {O}},
                                                {"WorkerService.FindRefused", {le}}};
  return *promised;
}

// Without a token, by callers that have none yet.
const std::set<std::string>& OpenToAnyone() {
  static const auto* const open = new std::set<std::string>{
      "PeopleService.DescribeInvite", "PeopleService.AcceptInvite", "WorkerService.Join"};
  return *open;
}

// Calls any method with one message and returns its status.
grpc::Status CallWith(const rpc::Client& client, const std::string& path,
                      const std::string& message) {
  grpc::GenericStub stub(client.channel());
  grpc::CompletionQueue queue;
  const auto context = client.UnaryContext();
  const auto call = stub.PrepareCall(context.get(), path, &queue);
  void* tag;
  bool ok;
  const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
  call->StartCall(nullptr);
  wait();
  const grpc::Slice slice(message);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  wait();
  grpc::ByteBuffer response;
  do {
    call->Read(&response, nullptr);
  } while (wait());
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return status;
}

grpc::Status CallEmpty(const rpc::Client& client, const std::string& path) {
  return CallWith(client, path, "");
}

// All methods of the protocol.
std::vector<const google::protobuf::MethodDescriptor*> Methods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const char* name : {"run", "clip", "label", "people", "restart", "review", "snapshot",
                           "work", "operation", "trace", "workers", "config"}) {
    const auto* file = pool->FindFileByName(absl::StrCat("backflip/v1/", name, ".proto"));
    EXPECT_NE(file, nullptr) << name;
    if (file == nullptr) continue;
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        methods.push_back(file->service(s)->method(m));
    }
  }
  return methods;
}
// What TestBroker gives to a caller of this name.
std::string TokenOf(const std::string& caller) {
  return absl::StrCat("a token for tests of ", caller);
}
std::string NameOf(const google::protobuf::MethodDescriptor& method) {
  return absl::StrCat(method.service()->name(), ".", method.name());
}
std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

// Whether the method is also one over HTTP, for browsers.
bool IsJson(const google::protobuf::MethodDescriptor& method) {
  static const auto* const services =
      new std::set<std::string>{"LabelingService", "PeopleService", "ReviewService", "RunService"};
  return services->count(method.service()->name()) > 0 && !method.client_streaming() &&
         !method.server_streaming();
}

// The status of a JSON call over HTTP, of those that browsers make; 0: there was no answer.
int PostJson(const std::string& url, const std::string& path, const std::string& token,
             const std::string& body = "{}") {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(url.substr(url.rfind(':') + 1), &port)) << url;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string request =
      absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ", token,
                   "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
                   "\r\nConnection: close\r\n\r\n", body);
  int status = 0;
  char head[13] = {};  // HTTP/1.1 200
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      write(fd, request.data(), request.size()) == static_cast<ssize_t>(request.size()) &&
      recv(fd, head, 12, MSG_WAITALL) == 12) {
    (void)absl::SimpleAtoi(absl::string_view(head).substr(9, 3), &status);
  }
  close(fd);
  return status;
}

// Every method, by gRPC and, where browsers have it, as JSON, as every role, with a token that is
// good and with those that are not any more.
TEST(Roles, NoTokenThatIsOverOpensAnyMethodAndAPauseOpensNoMore) {
  preference_broker::BrokerOptions options;
  options.http.listen = "127.0.0.1:0";
  // (by a network nobody may guess so often)
  options.listen = absl::StrCat("unix:", ::testing::TempDir(), "/", NewId(), ".sock");
  TestBroker broker(options);
  const auto sql = [&](const std::string& text) { return Query(broker.database(), text); };
  const auto named = [&](Role role, const std::string& name) {
    return absl::StrCat(name, " ", preference_broker::RoleName(role));
  };
  std::map<std::string, rpc::Client> clients;
  for (const Role role : preference_broker::kAllRoles) {
    for (const char* name : {"good", "revoked", "expired", "signed off", "paused"}) {
      clients.emplace(named(role, name),
                      rpc::Client(broker.address(), broker.Token(role, named(role, name))));
    }
  }
  const auto of = [](const std::string& name) {
    return absl::StrCat(" FROM callers c WHERE c.id = k.caller_id AND c.name LIKE '", name, " %'");
  };
  sql("UPDATE tokens k SET revoked_at = now()" + of("revoked"));
  sql("UPDATE tokens k SET expires_at = now()" + of("expired"));
  sql("UPDATE callers SET state = 'REVOKED' WHERE name LIKE 'signed off %'");
  sql("UPDATE callers SET state = 'PAUSED' WHERE name LIKE 'paused %'");
  const std::string url = broker.broker().http_url();
  for (const auto* method : Methods()) {
    const std::string name = NameOf(*method), path = PathOf(*method);
    if (OpenToAnyone().count(name) > 0 || name == "PeopleService.SignOut") continue;
    const bool json = IsJson(*method);
    for (const Role role : preference_broker::kAllRoles) {
      SCOPED_TRACE(absl::StrCat(name, " as ", preference_broker::RoleName(role)));
      const bool may = Promised().at(name).count(role) > 0;
      for (const char* state : {"revoked", "expired", "signed off"}) {
        const std::string caller = named(role, state);
        EXPECT_EQ(CallEmpty(clients.at(caller), path).error_code(),
                  grpc::StatusCode::UNAUTHENTICATED)
            << state;
        // a few: an address has an allowance of calls that are refused
        if (json && may) {
          EXPECT_EQ(PostJson(url, path, TokenOf(caller)), 401) << state;
        }
      }
      for (const char* state : {"good", "paused"}) {
        const std::string caller = named(role, state);
        EXPECT_EQ(
            CallEmpty(clients.at(caller), path).error_code() == grpc::StatusCode::PERMISSION_DENIED,
            !may)
            << caller;
        if (json) {
          EXPECT_EQ(PostJson(url, path, TokenOf(caller)) == 403, !may) << caller;
        }
      }
    }
  }
}

TEST(Roles, EveryMethodIsOpenToItsRolesAlone) {
  TestBroker broker;
  for (const auto* method : Methods()) {
    const std::string name = NameOf(*method), path = PathOf(*method);
    ASSERT_EQ(Promised().count(name), 1u) << name << " is in no table";
    if (OpenToAnyone().count(name) > 0) {
      EXPECT_EQ(CallEmpty(rpc::Client(broker.address(), ""), path).error_code(),
                grpc::StatusCode::INVALID_ARGUMENT)
          << name;
      continue;
    }
    for (const Role role : preference_broker::kAllRoles) {
      // whose token is no good afterwards
      const std::string leaver = name == "PeopleService.SignOut"
                                     ? absl::StrCat("leaving ", preference_broker::RoleName(role))
                                     : "";
      const grpc::Status status = CallEmpty(broker.As(role, leaver).client, path);
      const bool denied = status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
      EXPECT_EQ(denied, Promised().at(name).count(role) == 0)
          << name << " as " << preference_broker::RoleName(role) << ": " << status.error_message();
      EXPECT_NE(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << name;
    }
    EXPECT_EQ(CallEmpty(rpc::Client(broker.address(), ""), path).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(CallEmpty(rpc::Client(broker.address(), "a guess"), path).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(Methods().size(), Promised().size());
}

// A run, and one who works for it alone.
struct Place {
  int64_t run = 0;
  int64_t labeler = 0;
  int64_t gold = 0;
  int64_t invite = 0;
  int64_t label = 0;
};

// Methods whose requests name no run, as a call about a place; several calls
// of a method are told apart by what follows the '#'.
std::map<std::string, std::string> CallsAbout(const Place& place) {
  const std::string run = absl::StrCat(place.run),
                    person = absl::StrCat("labeler_id: ", place.labeler);
  const auto invite = [](const std::string& runs) {
    return absl::StrCat("request_id: '", NewId(), "' role: INVITE_LABELER name: '", NewId(), "' ",
                        runs);
  };
  return {{"RunService.Create", "labels_from_run: " + run},
          {"ReviewService.ImportLabels", "run_id: " + run + " label {}"},
          {"ReviewService.RemoveGold", absl::StrCat("gold_id: ", place.gold)},
          {"PeopleService.Invite", invite("run_ids: " + run)},
          {"PeopleService.SetLabelerState#pause", person + " state: LABELER_PAUSED"},
          {"PeopleService.SetLabelerState#resume", person + " state: ACTIVE"},
          {"PeopleService.ForgetLabeler", person},
          {"PeopleService.ResetLabeler", person},
          {"PeopleService.WithdrawInvite", absl::StrCat("invite_id: ", place.invite)},
          {"PeopleService.SetInviteCap", absl::StrCat("cap: 9 invite_id: ", place.invite)},
          {"TraceService.TraceLabel", absl::StrCat("label_id: ", place.label)}};
}

// Methods whose calls are about no run, and why.
const std::set<std::string>& AboutNoRun() {
  static const auto* const names =
      new std::set<std::string>{"RunService.List",
                                "PeopleService.ListInvites",  // list the caller's
                                "LabelingService.Heartbeat",
                                "LabelingService.Submit",
                                "LabelingService.Undo",  // the caller's own leases
                                "PeopleService.SignOut",
                                "PeopleService.DescribeInvite",
                                "PeopleService.AcceptInvite",  // the caller alone
                                "LabelingService.GetScene",
                                "BundleService.Put",
                                "BundleService.Get",
                                "BundleService.PutScene",  // by hash
                                "OperationService.ListTokens",
                                "OperationService.CreateToken",
                                "OperationService.RotateToken",
                                "OperationService.RevokeToken",
                                "OperationService.CollectGarbage",
                                "WorkerService.Invite",
                                "WorkerService.Join",
                                "WorkerService.List",
                                "WorkerService.Revoke"};  // operators of all runs only
  return *names;
}

TEST(Roles, ACallerOfSomeRunsIsRefusedAllOthersByEveryMethod) {
  preference_broker::BrokerOptions options;
  options.http.listen = "127.0.0.1:0";
  TestBroker broker(options);
  const auto sql = [&](const std::string& text) { return Query(broker.database(), text); };
  const auto limit = [&](Role role, const std::string& name, int64_t run_id) {
    broker.Token(role, name);
    return std::stoll(sql(absl::StrCat("UPDATE callers SET run_ids = ARRAY[", run_id,
                                       "]::bigint[] WHERE name = '", name, "' RETURNING id")));
  };
  const auto make_place = [&](const std::string& name) {
    Place place;
    place.run = broker.CreateRun().id();
    (void)broker.Claim(Role::kLearner);
    const std::vector<std::string> clips = broker.Upload(place.run, 0, 2);
    place.labeler = limit(Role::kLabeler, name, place.run);
    place.gold = std::stoll(sql(absl::StrCat(
        "INSERT INTO gold_pairs (run_id, first_clip, second_clip, answer, use) SELECT ", place.run,
        ", min(id), max(id), 'LEFT', 'CHECK' FROM clips WHERE run_id = ", place.run,
        " RETURNING id")));
    place.invite = std::stoll(sql(absl::StrCat(
        "INSERT INTO invites (request_id, sha256, role, name, run_ids, is_group, "
        "cap, created_by, expires_at) SELECT '",
        NewId(), "', sha256('", name, "'), 'labeler', 'crowd of ", name, "', ARRAY[", place.run,
        "]::bigint[], true, 1, ", place.labeler, ", now() + interval '1 day' RETURNING id")));
    // a label that was given in a run, without its clips
    place.label = std::stoll(sql(absl::StrCat(
        "WITH q AS (INSERT INTO questions (run_id, purpose, overlap, open_slots) VALUES (",
        place.run,
        ", 'TRAIN', 1, 0) RETURNING id), l AS (INSERT INTO leases (id, question_id, caller_id, "
        "state, "
        "turned, lease_ms, expires_at) SELECT '",
        NewId(), "', id, ", place.labeler,
        ", 'ANSWERED', false, 1, now() FROM q RETURNING id) INSERT INTO labels (run_id, "
        "question_id, "
        "lease_id, caller_id, idempotency_key, body_sha256, retraction, choice, surplus, counts) "
        "SELECT ",
        place.run, ", q.id, l.id, ", place.labeler, ", '", NewId(),
        "', '', false, 'LEFT', false, true FROM q, l RETURNING id")));
    return place;
  };
  const Place own = make_place("own"), foreign = make_place("foreign");
  const std::map<std::string, std::string> calls = CallsAbout(own),
                                           foreign_calls = CallsAbout(foreign);
  // in this order: the first role of a method is tried
  const std::pair<Role, std::string> callers[] = {{Role::kReviewer, "some reviewer"},
                                                  {Role::kOperator, "some operator"},
                                                  {Role::kLabeler, "some labeler"}};
  for (const auto& [role, name] : callers) limit(role, name, own.run);
  for (const auto* method : Methods()) {
    const std::string name = NameOf(*method);
    const std::set<Role>& roles = Promised().at(name);
    const auto caller = std::find_if(std::begin(callers), std::end(callers),
                                     [&](const auto& one) { return roles.count(one.first) > 0; });
    if (caller == std::end(callers) || AboutNoRun().count(name) > 0) continue;
    std::vector<std::pair<std::string, std::string>>
        pairs;  // about the own run and about the foreign one
    for (const auto& [call, text] : calls) {
      if (call.substr(0, call.find('#')) == name) pairs.emplace_back(text, foreign_calls.at(call));
    }
    if (pairs.empty()) {
      ASSERT_NE(method->input_type()->FindFieldByName("run_id"), nullptr)
          << name << " is in no table";
      pairs.emplace_back(absl::StrCat("run_id: ", own.run), absl::StrCat("run_id: ", foreign.run));
    }
    std::unique_ptr<google::protobuf::Message> request(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(method->input_type())
            ->New());
    const auto call = [&](const std::string& text) {
      EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, request.get()))
          << name << ": " << text;
      return CallWith(broker.As(caller->first, caller->second).client, PathOf(*method),
                      request->SerializeAsString());
    };
    // of the request as `call` has left it
    const auto json = [&] {
      std::string body;
      EXPECT_TRUE(google::protobuf::util::MessageToJsonString(*request, &body).ok());
      return PostJson(broker.broker().http_url(), PathOf(*method), TokenOf(caller->second), body);
    };
    for (const auto& [allowed, refused] : pairs) {
      const grpc::Status status = call(refused);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << name << " { " << refused << " }: " << status.error_message();
      EXPECT_NE(status.error_message().find("your invite is not for"), std::string::npos)
          << status.error_message();
      if (IsJson(*method)) {
        EXPECT_EQ(json(), 403) << name << " { " << refused << " }";
      }
      if (name == "SnapshotService.Watch") continue;  // goes on
      EXPECT_NE(call(allowed).error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << name << " { " << allowed << " }";
      if (IsJson(*method)) {
        EXPECT_NE(json(), 403) << name << " { " << allowed << " }";
      }
    }
  }
  EXPECT_EQ(sql(absl::StrCat("SELECT state FROM callers WHERE id = ", foreign.labeler)), "ACTIVE");
  EXPECT_EQ(sql(absl::StrCat("SELECT cap || ' ' || (withdrawn_at IS NULL) FROM invites WHERE id = ",
                             foreign.invite)),
            "1 true");
  EXPECT_EQ(
      sql(absl::StrCat("SELECT forgotten_at IS NULL FROM callers WHERE id = ", foreign.labeler)),
      "t");
  EXPECT_EQ(
      sql(absl::StrCat("SELECT removed_at IS NULL FROM gold_pairs WHERE id = ", foreign.gold)),
      "t");
}

TEST(Roles, ACallerOfSomeRunsNamesOneWhereOthersMeanAll) {
  TestBroker broker;
  const int64_t mine = broker.CreateRun().id();
  broker.CreateRun();
  const auto limited = [&](Role role, const std::string& name) -> const Peer& {
    broker.Token(role, name);
    Query(broker.database(), absl::StrCat("UPDATE callers SET run_ids = ARRAY[", mine,
                                          "]::bigint[] WHERE name = '", name, "'"));
    return broker.As(role, name);
  };
  const Peer& reviewer = limited(Role::kReviewer, "some reviewer");
  const Peer& operator_peer = limited(Role::kOperator, "some operator");
  using People = v1::PeopleService::Stub;
  EXPECT_TRUE(absl::IsPermissionDenied(
      reviewer.Call(reviewer.people, &People::ListLabelers, v1::ListLabelersRequest()).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      operator_peer.Call(operator_peer.people, &People::Statement, v1::StatementRequest())
          .status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      operator_peer
          .Call(operator_peer.people, &People::RetractLabels,
                Parse<v1::RetractLabelsRequest>("request_id: '0123456789abcdef' name: 'labeler'"))
          .status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      operator_peer
          .Call(operator_peer.people, &People::Invite,
                Parse<v1::InviteRequest>(
                    "request_id: '0123456789abcdef' role: INVITE_LABELER name: 'Ada'"))
          .status()));
  // nor is a token, which would be good for all runs
  for (const char* method :
       {"ListTokens", "CreateToken", "RotateToken", "RevokeToken", "CollectGarbage", "ListAudit"}) {
    EXPECT_EQ(
        CallEmpty(operator_peer.client, absl::StrCat("/backflip.v1.OperationService/", method))
            .error_code(),
        grpc::StatusCode::PERMISSION_DENIED)
        << method;
  }
  for (const char* method : {"Invite", "List", "Revoke"}) {
    EXPECT_EQ(CallEmpty(operator_peer.client, absl::StrCat("/backflip.v1.WorkerService/", method))
                  .error_code(),
              grpc::StatusCode::PERMISSION_DENIED)
        << method;
  }
  // a labeler of all runs is one of other runs too
  broker.Token(Role::kLabeler);
  EXPECT_TRUE(absl::IsPermissionDenied(
      reviewer
          .Call(reviewer.people, &People::SetLabelerState,
                Parse<v1::SetLabelerStateRequest>("name: 'labeler' state: LABELER_PAUSED"))
          .status()));
  // and whether there is a labeler elsewhere is nothing they learn
  EXPECT_TRUE(absl::IsPermissionDenied(
      reviewer
          .Call(reviewer.people, &People::SetLabelerState,
                Parse<v1::SetLabelerStateRequest>("name: 'nobody' state: LABELER_PAUSED"))
          .status()));
  // the newest run of all is not theirs
  const auto runs = reviewer.Call(reviewer.runs, &v1::RunService::Stub::List,
                                  Parse<v1::ListRunsRequest>("limit: 1"));
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->runs_size(), 1);
  EXPECT_EQ(runs->runs(0).id(), mine);
}

TEST(Roles, RefusedCallsAreLoggedWithWhereTheyCameFromOneLineASecondAtMost) {
  TestBroker broker;
  const rpc::Client guesser(broker.address(), "a guess");
  ::testing::internal::CaptureStderr();
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(CallEmpty(guesser, "/backflip.v1.RunService/List").error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  const int seconds = 1 + absl::ToInt64Seconds(absl::Now() - begin);
  const std::string log = ::testing::internal::GetCapturedStderr();
  int lines = 0;
  for (const absl::string_view line : absl::StrSplit(log, '\n')) {
    if (!absl::StrContains(line, "gRPC calls without a valid token are refused")) continue;
    ++lines;
    EXPECT_THAT(std::string(line), ::testing::HasSubstr("ipv4:127.0.0.1:"));
    EXPECT_THAT(std::string(line), ::testing::Not(::testing::HasSubstr("a guess")));
  }
  EXPECT_GE(lines, 1) << log;
  EXPECT_LE(lines, seconds) << log;
}

TEST(Roles, ARevokedTokenIsRefusedWithinSeconds) {
  TestBroker broker;
  const Peer& labeler = broker.As(Role::kLabeler);
  const auto beat = [&] {
    return labeler
        .Call(labeler.labeling, &v1::LabelingService::Stub::Heartbeat, v1::HeartbeatRequest())
        .status();
  };
  ASSERT_TRUE(beat().ok());
  Query(broker.database(), "UPDATE tokens SET revoked_at = now()");
  EXPECT_TRUE(Await([&] { return !beat().ok(); }));
  EXPECT_TRUE(absl::IsUnauthenticated(beat())) << beat();
}

TEST(Operation, AFullPoolSaysSoAndHealthStillAnswers) {
  preference_broker::BrokerOptions options;
  options.connections = 1;
  options.queued_calls = 2;
  TestBroker broker(options);
  const v1::Run run = broker.CreateRun();
  v1::GetRunRequest get;
  get.set_run_id(run.id());
  Peer& peer = broker.As(Role::kOperator);
  // the only connection waits for a row that we hold
  pqxx::connection blocker(broker.database());
  pqxx::work lock(blocker);
  lock.exec("SELECT * FROM runs FOR UPDATE");
  std::vector<std::thread> callers;
  std::atomic<int> refused{0}, answered{0};
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&] {
      v1::CancelRunRequest cancel;
      cancel.set_run_id(run.id());
      const auto result = peer.Call(peer.runs, &v1::RunService::Stub::Cancel, cancel);
      if (result.ok()) ++answered;
      if (absl::IsResourceExhausted(result.status())) ++refused;
    });
  }
  // 1 works and 2 wait; housekeeping takes a place too
  EXPECT_TRUE(Await([&] { return refused >= 9; })) << refused;
  EXPECT_TRUE(rpc::WaitHealthy(broker.address(), kPatience).ok());
  lock.abort();
  for (std::thread& caller : callers) caller.join();
  EXPECT_GE(answered, 1);
  EXPECT_EQ(answered + refused, 12);
}

TEST(Operation, WaitsHoldNoThreads) {
  preference_broker::BrokerOptions options;
  options.connections = 1;
  TestBroker broker(options);
  const v1::Run run = broker.CreateRun();
  Peer& peer = broker.As(Role::kOperator);
  std::vector<std::thread> watchers;
  std::atomic<int> woken{0};
  for (int i = 0; i < 20; ++i) {
    watchers.emplace_back([&] {
      v1::WatchRunRequest watch;
      watch.set_run_id(run.id());
      watch.set_since_revision(run.revision());
      watch.set_wait_ms(20'000);
      const auto seen = peer.Call(peer.runs, &v1::RunService::Stub::Watch, watch);
      ASSERT_TRUE(seen.ok()) << seen.status();
      woken += seen->state() == v1::CANCELLED;
    });
  }
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run.id());
  ASSERT_TRUE(peer.Call(peer.runs, &v1::RunService::Stub::Cancel, cancel).ok());
  for (std::thread& watcher : watchers) watcher.join();
  EXPECT_EQ(woken, 20);
}

TEST(Operation, DrainAnswersLongPollsAndEndsStreams) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun();
  Peer& peer = broker.As(Role::kTrainer);
  v1::GetRunRequest get;
  get.set_run_id(run.id());
  ASSERT_TRUE(peer.Call(peer.runs, &v1::RunService::Stub::Get, get).ok());
  // it is on its way before the feed, over the connection that is there now
  v1::WatchRunRequest watch;
  watch.set_run_id(run.id());
  watch.set_since_revision(run.revision());
  watch.set_wait_ms(20'000);
  grpc::CompletionQueue queue;
  const auto watch_context = peer.client.UnaryContext(kPatience);
  const auto watching = peer.runs->AsyncWatch(watch_context.get(), watch, &queue);
  v1::Run watched;
  grpc::Status watched_status;
  watching->Finish(&watched, &watched_status, nullptr);
  const auto context = peer.client.StreamContext();
  v1::FollowLabelsRequest follow;
  follow.set_run_id(run.id());
  follow.set_from_position(1);
  const auto feed = peer.training->FollowLabels(context.get(), follow);
  v1::LabelFeedMessage message;
  ASSERT_TRUE(feed->Read(&message));
  EXPECT_TRUE(message.has_caught_up());
  // sooner than the poll would end
  broker.broker().Drain(absl::Seconds(10));
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_TRUE(watched_status.ok()) << watched_status.error_message();
  EXPECT_FALSE(feed->Read(&message));
  EXPECT_EQ(feed->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(Operation, ComesBackWhenPostgresqlRestarts) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun();
  Peer& peer = broker.As(Role::kOperator);
  v1::GetRunRequest get;
  get.set_run_id(run.id());
  const auto call = [&] { return peer.Call(peer.runs, &v1::RunService::Stub::Get, get).status(); };
  ASSERT_TRUE(call().ok());
  ASSERT_TRUE(TestServer().Stop().ok());
  for (int i = 0; i < 8; ++i) {
    const absl::Status away = call();
    EXPECT_TRUE(absl::IsUnavailable(away)) << away;
    EXPECT_TRUE(absl::StartsWith(away.message(), "the database is away: ")) << away;
  }
  EXPECT_TRUE(rpc::WaitHealthy(broker.address(), kPatience).ok());
  ASSERT_TRUE(TestServer().Restart().ok());
  const absl::Status back = base::Retry({}, nullptr, call);
  EXPECT_TRUE(back.ok()) << back;
}

// What PostgreSQL says, and what a person reads of it.
TEST(DatabaseErrors, AreSentences) {
  struct Case {
    const char* sqlstate;
    absl::StatusCode code;
    const char* sentence;
  };
  const absl::StatusCode unavailable = absl::StatusCode::kUnavailable;
  const Case cases[] = {
      {"08006", unavailable, "the database is away: "},         // connection failure
      {"57P01", unavailable, "the database is away: "},         // shut down by an administrator
      {"57P03", unavailable, "the database is away: "},         // cannot connect now
      {"53300", unavailable, "the database is away: "},         // too many connections
      {"53100", unavailable, "the database is out of room: "},  // disk full
      {"53200", unavailable, "the database is out of room: "},  // out of memory
      {"55P03", unavailable, "the database took too long: "},   // lock not available
      {"57014", unavailable, "the database took too long: "},   // statement timeout
      {"40001", unavailable, "other calls changed the same rows: "},     // serialization failure
      {"40P01", unavailable, "other calls changed the same rows: "},     // deadlock
      {"23505", unavailable, "other calls changed the same rows: "},     // unique violation
      {"22012", absl::StatusCode::kInternal, "database error 22012: "},  // division by zero
  };
  const std::string database = EmptyDatabase();
  preference_broker::Connection connection(database, "test", nullptr);
  for (const Case& c : cases) {
    const std::string script = absl::StrCat(
        "DO $$ BEGIN RAISE EXCEPTION 'no more of it' USING ERRCODE = '", c.sqlstate, "'; END $$");
    const absl::Status status =
        connection.Transact([&](preference_broker::Transaction& t) -> absl::Status {
          t.ExecScript(script);
          return absl::OkStatus();
        });
    EXPECT_EQ(status.code(), c.code) << c.sqlstate << ": " << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), c.sentence)) << c.sqlstate << ": " << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "no more of it"))
        << c.sqlstate << ": " << status;
    // the next call is another one
    const absl::Status next = base::Retry({}, nullptr, [&] {
      return connection.Transact([](preference_broker::Transaction& t) -> absl::Status {
        t.Exec("SELECT 1");
        return absl::OkStatus();
      });
    });
    EXPECT_TRUE(next.ok()) << c.sqlstate << ": " << next;
  }
}

TEST(DatabaseErrors, WhatMaySucceedAtOnceIsTriedAgain) {
  const std::string database = EmptyDatabase();
  preference_broker::Connection connection(database, "test", nullptr);
  for (const char* sqlstate : {"40001", "40P01", "23505"}) {
    int attempts = 0;
    const std::string script =
        absl::StrCat("DO $$ BEGIN RAISE EXCEPTION '' USING ERRCODE = '", sqlstate, "'; END $$");
    const absl::Status status =
        connection.Transact([&](preference_broker::Transaction& t) -> absl::Status {
          if (++attempts < 3) t.ExecScript(script);
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << sqlstate << ": " << status;
    EXPECT_EQ(attempts, 3) << sqlstate;
  }
}

TEST(DatabaseErrors, ACommitOfUnknownOutcomeSaysToCallAgain) {
  const std::string database = EmptyDatabase();
  preference_broker::Connection connection(database, "test", nullptr);
  Query(database,
        "CREATE TABLE things (id integer); "
        "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS "
        "  $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED "
        "  FOR EACH ROW EXECUTE FUNCTION end_session()");
  const absl::Status status =
      connection.Transact([](preference_broker::Transaction& t) -> absl::Status {
        t.Exec("INSERT INTO things VALUES (1)");
        return absl::OkStatus();
      });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(
      absl::StartsWith(status.message(), "the database went away during a commit; call again: "))
      << status;
}

TEST(DatabaseErrors, AnAddressThatIsNoDatabaseIsAway) {
  preference_broker::Connection connection("postgresql://127.0.0.1:1/backflip", "test", nullptr);
  for (int i = 0; i < 2; ++i) {
    const absl::Status status =
        connection.Transact([](preference_broker::Transaction&) { return absl::OkStatus(); });
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), "the database is away: ")) << status;
  }
}

// A broker's calls say the same: what its pool's connections meet.
TEST(DatabaseErrors, ReachWhoeverCalls) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun();
  const Peer& peer = broker.As(Role::kOperator);
  Query(broker.database(),
        "CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; "
        "END $$; "
        "CREATE TRIGGER full_disk BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION "
        "disk_is_full()");
  v1::StopAskingRequest request;
  request.set_run_id(run.id());
  const absl::Status status =
      peer.Call(peer.runs, &v1::RunService::Stub::StopAsking, request).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), "the database is out of room: ")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "No space left on device")) << status;
  // all or nothing
  EXPECT_EQ(Query(broker.database(), "SELECT asking_stopped FROM runs"), "f");
}

TEST(Migrate, IsIdempotentAndSafeTwiceAtOnce) {
  const std::string database = EmptyDatabase();
  {
    preference_broker::Connection connection(database, "test", nullptr);
    EXPECT_EQ(preference_broker::CheckSchema(connection).code(),
              absl::StatusCode::kFailedPrecondition);
    preference_broker::BrokerOptions options;
    options.database = database;
    options.listen = "127.0.0.1:0";
    EXPECT_EQ(preference_broker::Broker::Start(options).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  std::atomic<int> applied{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      preference_broker::Connection connection(database, "test", nullptr);
      const auto result = preference_broker::Migrate(connection);
      ASSERT_TRUE(result.ok()) << result.status();
      applied += *result;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(applied, static_cast<int>(preference_broker::AllMigrations().size()));
  preference_broker::Connection connection(database, "test", nullptr);
  EXPECT_EQ(*preference_broker::Migrate(connection), 0);
  EXPECT_TRUE(preference_broker::CheckSchema(connection).ok());
}

TEST(Migrate, RefusesADatabaseThatIsNewerOrAnother) {
  const std::string database = MigratedDatabase();
  preference_broker::Connection connection(database, "test", nullptr);
  Query(database, "UPDATE schema_migrations SET sha256 = sha256('x')");
  EXPECT_EQ(preference_broker::Migrate(connection).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const std::string newer = MigratedDatabase();
  preference_broker::Connection newer_connection(newer, "test", nullptr);
  Query(newer,
        "INSERT INTO schema_migrations (version, name, sha256) VALUES (999, 'later', sha256('x'))");
  EXPECT_EQ(preference_broker::Migrate(newer_connection).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(preference_broker::CheckSchema(newer_connection).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Migrate, IndexesEveryForeignKey) {
  const std::string missing = Query(MigratedDatabase(), R"sql(
    SELECT string_agg(c.conrelid::regclass || '.' || c.conname, ', ') FROM pg_constraint c
    WHERE c.contype = 'f' AND NOT EXISTS (
      SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND (i.indpred IS NULL
          OR pg_get_expr(i.indpred, i.indrelid) IN (SELECT '(' || a.attname || ' IS NOT NULL)' FROM pg_attribute a
            WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)))
        AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey))sql");
  EXPECT_EQ(missing, "");
}

TEST(Tokens, AreMadeOnceForEachRoleAndKeptPrivate) {
  const std::string database = MigratedDatabase();
  preference_broker::Connection connection(database, "test", nullptr);
  const std::string folder = absl::StrCat(::testing::TempDir(), "/tokens", NewId());
  ASSERT_TRUE(preference_broker::MakeTokenFiles(connection, folder).ok());
  const auto read = [&](const std::string& role) {
    std::ifstream file(folder + "/" + role + ".token");
    std::string token;
    file >> token;
    return token;
  };
  const std::string token = read("teacher");
  EXPECT_GE(token.size(), 32u);
  EXPECT_NE(token, read("operator"));
  struct stat info;
  ASSERT_EQ(stat((folder + "/teacher.token").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_TRUE(preference_broker::MakeTokenFiles(connection, folder).ok());
  EXPECT_EQ(read("teacher"), token);
  const auto caller = preference_broker::CallerOfToken(connection, token);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->role, Role::kTeacher);
  // the token itself is nowhere in the database
  EXPECT_EQ(Query(database,
                  absl::StrCat("SELECT count(*) FROM tokens WHERE sha256 = sha256('", token, "')")),
            "1");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace backflip::testing
