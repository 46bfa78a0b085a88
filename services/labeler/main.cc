#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/flags.h"
#include "common/base/status_macros.h"
#include "common/rpc/daemon.h"
#include "common/teachers/teacher.h"
#include "services/labeler/teacher_client.h"

ABSL_FLAG(int64_t, run, 0, "run to answer for; 0: any");
ABSL_FLAG(std::string, teacher, "oracle",
          absl::StrJoin(backflip::teachers::Teachers(), "; ",
                        [](std::string* out, const backflip::teachers::NamedTeacher& teacher) {
                          absl::StrAppend(out, teacher.name, ": ", teacher.words);
                        }));
ABSL_FLAG(uint64_t, seed, 1, "seed of the teacher's draws");
ABSL_FLAG(double, labels_per_minute, 0, "rate of the answers; 0: as fast as possible");
ABSL_FLAG(int, count, 8, "questions to hold at once");
ABSL_FLAG(double, never_answer_share, 0,
          "fault model: share of the leases that are left until they run out");
ABSL_FLAG(double, answer_twice_share, 0, "fault model: share of the answers that are sent twice");

namespace backflip::labeler {
namespace {

const base::FlagRule run_rule(FLAGS_run, 0);
const base::FlagRule teacher_rule(FLAGS_teacher, "one of these names", [](const std::string& name) {
  return teachers::TraitsOf(name).ok();
});
const base::FlagRule rate_rule(FLAGS_labels_per_minute, 0);
const base::FlagRule count_rule(FLAGS_count, 1, 16);
const base::FlagRule never_rule(FLAGS_never_answer_share, 0, 1);
const base::FlagRule twice_rule(FLAGS_answer_twice_share, 0, 1);

}  // namespace
}  // namespace backflip::labeler

int main(int argc, char** argv) {
  using namespace backflip;
  return rpc::DaemonMain(
      argc, argv, "labeler",
      "A simulated teacher: leases questions from a preference-broker and answers them by the "
      "clips' true rewards or rubric.",
      [](rpc::Client broker) -> absl::StatusOr<std::unique_ptr<rpc::Daemon>> {
        const labeler::TeacherClientConfig config{
            .run_id = absl::GetFlag(FLAGS_run),
            .count = absl::GetFlag(FLAGS_count),
            .labels_per_minute = absl::GetFlag(FLAGS_labels_per_minute),
            .never_answer = absl::GetFlag(FLAGS_never_answer_share),
            .answer_twice = absl::GetFlag(FLAGS_answer_twice_share)};
        ASSIGN_OR_RETURN(const teachers::TeacherTraits traits,
                         teachers::TraitsOf(absl::GetFlag(FLAGS_teacher)));
        return std::make_unique<labeler::TeacherClient>(
            std::move(broker), config, teachers::Teacher(traits, absl::GetFlag(FLAGS_seed)));
      });
}
