// Simulated teachers: the six of B-Pref (Lee et al. 2021, "B-Pref: Benchmarking
// Preference-Based Reinforcement Learning"), which judge clips by their true
// rewards; and faulty ones, for crowds.
#ifndef BACKFLIP_COMMON_TEACHERS_TEACHER_H_
#define BACKFLIP_COMMON_TEACHERS_TEACHER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/run.pb.h"

namespace backflip::teachers {

// What a teacher is like; its defaults are the oracle's.
struct TeacherTraits {
  // Above 0: answers at random, the better clip with probability sigmoid(rationality *
  // difference of returns / their usual deviation), instead of always by the greater return.
  double rationality = 0;
  // A step t of H counts myopia^(H-1-t): below 1, the last steps count most.
  double myopia = 1;
  // Share of answers that are turned around.
  double mistake = 0;
  // Says "cannot tell" unless the better clip's return is above this share of what a clip
  // usually earns. Where that is negative, never.
  double skip = 0;
  // Says "tie" when the returns differ by less than this share of what a clip usually earns.
  // Where that is negative, only when they are the same.
  double equal = 0;
  // Share of answers that are left or right at random, whatever the clips show.
  double random = 0;
  // Reads the clips' rubric (v1::Clip.rubric) instead of their true rewards: the first
  // criterion in which they differ decides. The other traits are none of its.
  bool rubric = false;
};

// A teacher by name, with a few words on how it answers, for help texts.
struct NamedTeacher {
  const char* name;
  TeacherTraits traits;
  const char* words;
};

// All teachers: the only list of them. To add one, add a line to it.
absl::Span<const NamedTeacher> Teachers();
// Their names, with commas.
std::string TeacherNames();
// INVALID_ARGUMENT lists the names.
absl::StatusOr<TeacherTraits> TraitsOf(absl::string_view name);
// OK where clips of the task have what the teacher `name` answers by. INVALID_ARGUMENT: there
// is no such teacher; FAILED_PRECONDITION says what the task lacks.
absl::Status CheckTask(absl::string_view name, const v1::TaskInfo& task);

// What clips usually earn: of the newest kUsualClips clips in the run's questions, up to and
// with the question that is judged. It is part of the question, so that an answer does not
// depend on what a teacher was asked before. About what ten episodes give in pairs.
struct UsualReturns {
  double mean = 0;
  double deviation = 0;  // standard deviation
};
inline constexpr size_t kUsualClips = 100;

// The return of a clip with these true rewards, step by step.
double ReturnOf(const std::vector<float>& rewards);
// Of clips with these returns, the newest first.
UsualReturns UsualOf(const std::vector<double>& returns);

// Thread-safe. An answer depends on the seed and on the question alone, not on sides nor on
// when it is asked: the same question gets the same answer again.
//
// B-Pref's thresholds of skip and equal are e * R * H / T, with R the mean true return of the
// latest episodes, T their length and H that of a clip; as there, none holds where it is not
// above 0. A teacher sees clips and no episodes, so R * H / T is the mean of UsualReturns. (In
// B-Pref's own code e is applied twice from the second session on, which makes both teachers
// all but oracles; here it is applied once. And its stochastic teacher takes differences as
// they are: of returns of some hundreds it is an oracle.)
class Teacher {
 public:
  Teacher(TeacherTraits traits, uint64_t seed);

  // Whether it judges by the clips' rubric, not by their true rewards.
  bool by_rubric() const { return traits_.rubric; }

  // LEFT, RIGHT, TIE or CANNOT_TELL, by the clips' true rewards, step by step, or by their
  // rubric; both clips have as many numbers, at least one. Equal returns are a tie, unless
  // the answer is drawn.
  v1::Choice Judge(const std::vector<float>& left, const std::vector<float>& right,
                   const UsualReturns& usual) const;

 private:
  const TeacherTraits traits_;
  const uint64_t seed_;
};

}  // namespace backflip::teachers

#endif  // BACKFLIP_COMMON_TEACHERS_TEACHER_H_
