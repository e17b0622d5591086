"""Runs a program on a pseudo terminal and types an answer after each of its questions.

    on_terminal.py PROGRAM [ARGUMENT...] < ANSWERS

ANSWERS is a JSON list. Prints one JSON object: what the terminal showed, the exit code, and how many answers were asked
for.
"""

import json
import sys

import pexpect

answers = json.load(sys.stdin)
child = pexpect.spawn(sys.argv[1], sys.argv[2:], encoding="utf-8", timeout=30)
shown, asked = "", 0
for answer in [*answers, None]:
    ended = child.expect(["(?:Enter|Verify) password: ?", pexpect.EOF])
    shown += child.before + (child.after if ended == 0 else "")
    if ended:
        break
    asked += 1
    if answer is None:  # it asks once more than there are answers
        child.sendeof()
        child.expect(pexpect.EOF)
        shown += child.before
        break
    if not child.waitnoecho(timeout=5):
        shown += "(what is typed is shown)"
    child.sendline(answer)
child.close()
print(json.dumps({"shown": shown, "code": child.exitstatus, "asked": asked}))
